package workload

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/nfo-operator/nfo/internal/livelist"
	"github.com/nfo-operator/nfo/internal/reference"
)

const digestB = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

// customTest is one object of a CustomResourceDefinition, and the expected uses of the store r.example/acme.
type customTest struct {
	reason string
	read   func(*collector, livelist.Decoder) error
	object string
	want   []Use
	err    []string // parts of the expected error
}

const meta = "metadata: {namespace: cnf, name: upf, uid: u}\n"

func (tc customTest) run(t *testing.T, kind string) {
	t.Helper()
	text, err := yaml.YAMLToJSON([]byte(tc.object))
	if err != nil {
		t.Fatal(err)
	}
	c := newCollector(acme, mostOfStore)
	err = tc.read(c, kjson.NewDecoderCaseSensitivePreserveInts(strings.NewReader(string(text))))
	if len(tc.err) > 0 {
		if object := new(objectError); !errors.As(err, &object) {
			t.Errorf("%s: the error is not about the object: %v", tc.reason, err)
		}
		for _, says := range tc.err {
			if !strings.Contains(fmt.Sprint(err), says) {
				t.Errorf("%s: the error does not say %q: %v", tc.reason, says, err)
			}
		}
		return
	}
	if err != nil {
		t.Fatalf("%s: %v", tc.reason, err)
	}
	for i := range tc.want {
		if tc.want[i].Holder == (reference.Object{}) {
			tc.want[i].Holder = reference.Object{Kind: kind, Namespace: "cnf", Name: "upf"}
		}
	}
	slices.SortFunc(tc.want, compareUses)
	if diff := cmp.Diff(tc.want, usesOf(c)); diff != "" {
		t.Errorf("%s: %s", tc.reason, diff)
	}
}

// chartIn is a use of the chart upf in the store.
func chartIn(tag, digest, part string) Use {
	return Use{Repository: "acme/charts/upf", Tag: tag, Digest: digest, Part: part, Whole: true}
}

func chartNamed(name, tag, digest, part string) Use {
	return Use{Chart: name, Tag: tag, Digest: digest, Part: part, Whole: true}
}

func TestI14FluxOCIRepositories(t *testing.T) {
	t.Parallel()
	const kind = "OCIRepository.source.toolkit.fluxcd.io"
	spec := func(ref string) string {
		return meta + "spec: {interval: 5m, url: oci://r.example/acme/charts/upf" + ref + "}\n"
	}
	for name, tc := range map[string]customTest{
		"tag":            {reason: "spec.ref.tag", object: spec(", ref: {tag: 1.0.0}"), want: []Use{chartIn("1.0.0", "", "chart upf:1.0.0")}},
		"digest":         {reason: "spec.ref.digest", object: spec(", ref: {digest: '" + digestA + "'}"), want: []Use{chartIn("", digestA, "chart upf@"+digestA)}},
		"semver":         {reason: "a range is not a version before it is resolved", object: spec(", ref: {semver: '>=1.0.0 <2.0.0'}")},
		"latest":         {reason: "without spec.ref Flux pulls latest", object: spec(""), want: []Use{chartIn("latest", "", "chart upf:latest")}},
		"resolved":       {reason: "status.artifact.revision has tag and digest; status.artifact.digest is that of an archive of Flux", object: spec(", ref: {semver: 1.x}") + "status: {artifact: {revision: '1.2.3@" + digestA + "', digest: '" + digestB + "', path: x, url: 'http://source/x'}}\n", want: []Use{chartIn("1.2.3", "", "chart upf:1.2.3"), chartIn("", digestA, "chart upf:1.2.3")}},
		"digest only":    {reason: "the revision of an artifact that is pulled by its digest", object: spec(", ref: {digest: '"+digestA+"'}") + "status: {artifact: {revision: '" + digestA + "'}}\n", want: []Use{chartIn("", digestA, "chart upf@"+digestA)}},
		"old revision":   {reason: "versions before 0.35 write TAG/HEX", object: spec(", ref: {semver: 1.x}") + "status: {artifact: {revision: 1.2.3/" + digestA[7:] + "}}\n", want: []Use{chartIn("1.2.3", "", "chart upf:1.2.3"), chartIn("", digestA, "chart upf:1.2.3")}},
		"moved":          {reason: "what is pulled next and what was pulled last", object: spec(", ref: {tag: 2.0.0}") + "status: {artifact: {revision: '1.0.0@" + digestA + "'}}\n", want: []Use{chartIn("2.0.0", "", "chart upf:2.0.0"), chartIn("1.0.0", "", "chart upf:1.0.0"), chartIn("", digestA, "chart upf:1.0.0")}},
		"port":           {reason: "the default port is not part of a place", object: meta + "spec: {url: 'oci://r.example:443/acme/charts/upf/', ref: {tag: 1.0.0}}\n", want: []Use{chartIn("1.0.0", "", "chart upf:1.0.0")}},
		"other registry": {reason: "it is of no concern to this store", object: meta + "spec: {url: oci://other.example/acme/charts/upf, ref: {tag: 1.0.0}}\n"},
		"number":         {reason: "a tag that YAML takes for a number", object: spec(", ref: {tag: 1.5}"), want: []Use{chartIn("1.5", "", "chart upf:1.5")}},
		"empty":          {reason: "an object with nothing in it", object: meta},
		"null":           {reason: "null is absent", object: meta + "spec: {url: null, ref: null}\nstatus: {artifact: null}\n"},
		"wrong type":     {reason: "what may name an artifact must be read", object: meta + "spec: {url: [a]}\n", err: []string{"spec of OCIRepository cnf/upf", "Correct or delete"}},
		"wrong status":   {reason: "a status too", object: spec("") + "status: {artifact: {revision: {a: b}}}\n", err: []string{"status of OCIRepository cnf/upf"}},
		"owner": {reason: "the holder is the object at the top", object: "metadata: {namespace: cnf, name: upf, uid: u, ownerReferences: [{apiVersion: fluxcd.controlplane.io/v1, kind: ResourceSet, name: set, uid: s, controller: true}]}\nspec: {url: oci://r.example/acme/charts/upf, ref: {tag: 1.0.0}}\n", want: []Use{
			{Holder: reference.Object{Kind: "ResourceSet.fluxcd.controlplane.io", Namespace: "cnf", Name: "set"}, Repository: "acme/charts/upf", Tag: "1.0.0", Part: "chart upf:1.0.0", Whole: true},
		}},
		"terminating": {reason: "what is being deleted holds, and says so", object: "metadata: {namespace: cnf, name: upf, uid: u, deletionTimestamp: '2026-01-01T00:00:00Z'}\nspec: {url: oci://r.example/acme/charts/upf, ref: {tag: 1.0.0}}\n", want: []Use{
			{Terminating: true, Repository: "acme/charts/upf", Tag: "1.0.0", Part: "chart upf:1.0.0", Whole: true},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.read = (*collector).fluxOCIRepository
			tc.run(t, kind)
		})
	}
}

func TestI14FluxHelmCharts(t *testing.T) {
	t.Parallel()
	spec := func(chart, version, source string) string {
		return meta + fmt.Sprintf("spec: {chart: %s, version: %q, interval: 5m, sourceRef: {kind: %s, name: a}}\n", chart, version, source)
	}
	for name, tc := range map[string]customTest{
		"version":         {reason: "spec.version", object: spec("upf", "1.0.0", "HelmRepository"), want: []Use{chartNamed("upf", "1.0.0", "", "chart upf:1.0.0")}},
		"range":           {reason: "a range is not a version before it is resolved", object: spec("upf", "^1.0.0", "HelmRepository")},
		"any":             {reason: "the default of spec.version", object: spec("upf", "*", "HelmRepository")},
		"resolved":        {reason: "status.artifact.revision is the version; its digest is that of an archive of Flux", object: spec("upf", "*", "HelmRepository") + "status: {observedChartName: upf, artifact: {revision: 1.2.3, digest: '" + digestB + "'}}\n", want: []Use{chartNamed("upf", "1.2.3", "", "chart upf:1.2.3")}},
		"build":           {reason: "a tag has _ in place of +; Flux appends a generation where it merges values files", object: spec("upf", "*", "HelmRepository") + "status: {artifact: {revision: 1.2.3+2}}\n", want: []Use{chartNamed("upf", "1.2.3_2", "", "chart upf:1.2.3+2"), chartNamed("upf", "1.2.3", "", "chart upf:1.2.3+2")}},
		"renamed":         {reason: "the artifact is that of the chart before", object: spec("smf", "2.0.0", "HelmRepository") + "status: {observedChartName: upf, artifact: {revision: 1.0.0}}\n", want: []Use{chartNamed("smf", "2.0.0", "", "chart smf:2.0.0"), chartNamed("smf", "1.0.0", "", "chart smf:1.0.0"), chartNamed("upf", "1.0.0", "", "chart upf:1.0.0")}},
		"path":            {reason: "the last segment is the chart's name", object: spec("charts/upf", "1.0.0", "HelmRepository"), want: []Use{chartNamed("upf", "1.0.0", "", "chart upf:1.0.0")}},
		"Git":             {reason: "a chart in Git is in no registry", object: spec("./charts/upf", "1.0.0", "GitRepository") + "status: {artifact: {revision: 1.0.0}}\n"},
		"bucket":          {reason: "nor is one in a bucket", object: spec("./charts/upf", "1.0.0", "Bucket")},
		"nothing":         {reason: "an object with nothing in it", object: meta},
		"number":          {reason: "a version that YAML takes for a number", object: meta + "spec: {chart: upf, version: 1}\n", want: []Use{chartNamed("upf", "1", "", "chart upf:1")}},
		"wrong type":      {reason: "what may name a chart must be read", object: meta + "spec: {chart: {a: b}}\n", err: []string{"spec of HelmChart cnf/upf"}},
		"wrong structure": {reason: "also where a list is expected to be an object", object: spec("upf", "*", "HelmRepository") + "status: []\n", err: []string{"status of HelmChart cnf/upf"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.read = (*collector).fluxHelmChart
			tc.run(t, "HelmChart.source.toolkit.fluxcd.io")
		})
	}
}

func TestI14FluxHelmReleases(t *testing.T) {
	t.Parallel()
	chart := func(name, version string) string {
		return meta + fmt.Sprintf("spec: {interval: 5m, chart: {spec: {chart: %s, version: %q, sourceRef: {kind: HelmRepository, name: a}}}}\n", name, version)
	}
	const byRef = meta + "spec: {interval: 5m, chartRef: {kind: OCIRepository, name: upf}}\n"
	history := func(version int, chartVersion, more string) string {
		return fmt.Sprintf("{name: upf, namespace: cnf, version: %d, status: deployed, digest: '%s', configDigest: '%s', chartName: upf, chartVersion: %s%s}", version, digestB, digestB, chartVersion, more)
	}
	for name, tc := range map[string]customTest{
		"spec":    {reason: "the version that is installed next", object: chart("upf", "1.0.0"), want: []Use{chartNamed("upf", "1.0.0", "", "chart upf:1.0.0")}},
		"range":   {reason: "a range is not a version", object: chart("upf", ">=1.0.0"), want: nil},
		"history": {reason: "every revision in the history, which Flux may go back to", object: chart("upf", "*") + "status: {history: [" + history(2, "1.1.0", "") + ", " + history(1, "1.0.0", "") + "]}\n", want: []Use{chartNamed("upf", "1.1.0", "", "chart upf:1.1.0, revision 2"), chartNamed("upf", "1.0.0", "", "chart upf:1.0.0, revision 1")}},
		"digest": {reason: "ociDigest is the digest in the registry, and what follows the + is a part of it; the other digests are not of the chart", object: byRef + "status: {history: [" + history(3, "1.1.0+aaaaaaaaaaaa", ", ociDigest: '"+digestA+"'") + "]}\n", want: []Use{
			chartNamed("upf", "", digestA, "chart upf:1.1.0+aaaaaaaaaaaa, revision 3"), chartNamed("upf", "1.1.0", "", "chart upf:1.1.0+aaaaaaaaaaaa, revision 3"), chartNamed("upf", "1.1.0_aaaaaaaaaaaa", "", "chart upf:1.1.0+aaaaaaaaaaaa, revision 3"),
		}},
		"attempted":        {reason: "lastAttemptedRevision may have failed, and is tried again", object: chart("upf", "*") + "status: {lastAttemptedRevision: 1.2.0}\n", want: []Use{chartNamed("upf", "1.2.0", "", "chart upf:1.2.0")}},
		"attempted digest": {reason: "lastAttemptedRevisionDigest, of a chart whose name is not known", object: byRef + "status: {lastAttemptedRevision: 1.2.0+aaaaaaaaaaaa, lastAttemptedRevisionDigest: '" + digestA + "'}\n", want: []Use{chartNamed("", "", digestA, "chart 1.2.0+aaaaaaaaaaaa")}},
		"attempted any":    {reason: "with neither a name nor a digest it may be any artifact with that tag", object: byRef + "status: {lastAttemptedRevision: 1.2.0}\n", want: []Use{chartNamed("", "1.2.0", "", "chart 1.2.0")}},
		"attempted after":  {reason: "the name is that of the history", object: byRef + "status: {lastAttemptedRevision: 1.2.0, history: [" + history(1, "1.0.0", "") + "]}\n", want: []Use{chartNamed("upf", "1.0.0", "", "chart upf:1.0.0, revision 1"), chartNamed("upf", "1.2.0", "", "chart upf:1.2.0")}},
		"applied":          {reason: "lastAppliedRevision of v2beta1", object: chart("upf", "*") + "status: {lastAppliedRevision: 1.0.0, lastReleaseRevision: 4}\n", want: []Use{chartNamed("upf", "1.0.0", "", "chart upf:1.0.0")}},
		"Git":              {reason: "a chart in Git is in no registry", object: meta + "spec: {chart: {spec: {chart: ./charts/upf, sourceRef: {kind: GitRepository, name: a}}}}\nstatus: {lastAttemptedRevision: 1.0.0+abc}\n"},
		"Git since":        {reason: "its history can be of a time before", object: meta + "spec: {chart: {spec: {chart: ./charts/upf, sourceRef: {kind: GitRepository, name: a}}}}\nstatus: {history: [" + history(1, "1.0.0", "") + "]}\n", want: []Use{chartNamed("upf", "1.0.0", "", "chart upf:1.0.0, revision 1")}},
		"bad digest":       {reason: "an ociDigest that is invalid leaves the version", object: byRef + "status: {history: [" + history(1, "1.0.0", ", ociDigest: x") + "]}\n", want: []Use{chartNamed("upf", "1.0.0", "", "chart upf:1.0.0, revision 1")}},
		"null":             {reason: "null is absent", object: meta + "spec: {chart: null}\nstatus: {history: [null]}\n"},
		"nothing":          {reason: "an object with nothing in it", object: meta},
		"wrong type":       {reason: "what may name a chart must be read", object: chart("upf", "*") + "status: {history: {a: b}}\n", err: []string{"status of HelmRelease cnf/upf"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.read = (*collector).fluxHelmRelease
			tc.run(t, "HelmRelease.helm.toolkit.fluxcd.io")
		})
	}
}

func TestI14AChartIsUsedWhereverItIs(t *testing.T) {
	t.Parallel()
	c := newCollector(acme, mostOfStore)
	object := `{"metadata":{"namespace":"cnf","name":"upf","uid":"u"},"spec":{"chart":{"spec":{"chart":"upf","version":"1.0.0+build.1"}}}}`
	if err := c.fluxHelmRelease(kjson.NewDecoderCaseSensitivePreserveInts(strings.NewReader(object))); err != nil {
		t.Fatal(err)
	}
	r := NewReading(time.Time{}, c.uses())
	for _, tc := range []struct {
		reason, repository, tag string
		want                    int
	}{
		{"the last segment is the name", "acme/any/upf", "1.0.0_build.1", 1},
		{"the version before the + counts too", "acme/upf", "1.0.0", 1},
		{"another version", "acme/any/upf", "1.0.1", 0},
		{"another chart", "acme/any/smf", "1.0.0", 0},
	} {
		if got := r.Of(tc.repository, tc.tag); len(got) != tc.want {
			t.Errorf("%s: %v", tc.reason, got)
		}
	}
}

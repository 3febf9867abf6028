package publish

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/plugin"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/oci"
)

func entries(names ...string) []v1alpha1.ManifestArtifact {
	var all []v1alpha1.ManifestArtifact
	for _, n := range names {
		name, version, _ := strings.Cut(n, ":")
		all = append(all, v1alpha1.ManifestArtifact{ArtifactName: name, ArtifactVersion: version})
	}
	return all
}

func TestMatch(t *testing.T) {
	t.Parallel()
	is := func(written string, identities ...identity) labelled {
		return labelled{written: written, identities: identities}
	}
	layout := func(path, ref, name string) labelled {
		l := labelled{written: "oci:" + path}
		l.identities, l.version = identities(path, ocispec.Descriptor{Annotations: map[string]string{ocispec.AnnotationRefName: ref, oci.ImageNameAnnotation: name}})
		return l
	}
	for name, tc := range map[string]struct {
		reason  string
		entries []v1alpha1.ManifestArtifact
		sources []labelled
		want    []int
		says    string
	}{
		"Chart":       {"name and version", entries("a:1", "upf:1.0.0"), []labelled{is("upf.tgz", identity{"upf", "1.0.0"})}, []int{1}, ""},
		"Version":     {"another version is another entry", entries("upf:1", "upf:2"), []labelled{is("x", identity{"upf", "2"})}, []int{1}, ""},
		"Segments":    {"an old path has several segments", entries("charts/upf:1"), []labelled{is("x", identity{"upf", "1"})}, []int{0}, ""},
		"Ambiguous":   {"two paths end alike", entries("a/upf:1", "b/upf:1"), []labelled{is("x", identity{"upf", "1"})}, nil, "x (upf:1) fits several entries: a/upf:1, b/upf:1"},
		"Said":        {"what is said counts, not what it is called", entries("a:1", "b:1"), []labelled{{written: "b:1=a.tgz", entry: "b:1", identities: []identity{{"a", "1"}}}}, []int{1}, ""},
		"SaidWrong":   {"and has to be there", entries("a:1"), []labelled{{written: "b:1=a.tgz", entry: "b:1", identities: []identity{{"a", "1"}}}}, nil, "b:1=a.tgz fits no entry"},
		"SaidPath":    {"the whole name is said", entries("x/a:1"), []labelled{{written: "s", entry: "a:1"}}, nil, "fits no entry"},
		"None":        {"another version", entries("upf:1"), []labelled{is("upf.tgz", identity{"upf", "2"})}, nil, "upf.tgz (upf:2) fits no entry\nthe manifest lists upf:1; NAME:VERSION=SOURCE says"},
		"NoName":      {"a reference by digest has none", entries("upf:1"), []labelled{is("r.io/a@sha256:0")}, nil, "(which says no name) fits no entry"},
		"Twice":       {"one of the two would be lost", entries("a:1"), []labelled{is("x", identity{"a", "1"}), {written: "y", entry: "a:1"}}, nil, "x (a:1) and y are both for a:1"},
		"AllAtOnce":   {"nobody wants to learn them one by one", entries("a:1"), []labelled{is("x", identity{"b", "1"}), is("y", identity{"c", "1"})}, nil, "x (b:1) fits no entry\ny (c:1) fits no entry"},
		"Empty":       {"a manifest can list nothing", nil, []labelled{is("x", identity{"b", "1"})}, nil, "the manifest lists nothing"},
		"RefWhole":    {"a layout with a whole reference", entries("nginx:1.25"), []labelled{layout("d", "docker.io/library/nginx:1.25", "")}, []int{0}, ""},
		"RefShort":    {"with name and tag", entries("nginx:1.25"), []labelled{layout("d", "nginx:1.25", "")}, []int{0}, ""},
		"RefPort":     {"a host with a port", entries("nginx:1"), []labelled{layout("d", "r.example.com:5000/a/nginx:1", "")}, []int{0}, ""},
		"RefDocker":   {"as docker save writes it", entries("other:1.25", "nginx:1.25"), []labelled{layout("d", "1.25", "docker.io/library/nginx:1.25")}, []int{1}, ""},
		"RefSaved":    {"another image of that version is not taken for the only entry", entries("amf:1.0.0"), []labelled{layout("d", "1.0.0", "docker.io/acme/upf:1.0.0")}, nil, "oci:d (upf:1.0.0) fits no entry"},
		"RefFile":     {"nor by the name of its file", entries("amf:1.0.0", "smf:1.0.0"), []labelled{layout("amf.tar", "1.0.0", "docker.io/acme/upf:1.0.0")}, nil, "oci:amf.tar (upf:1.0.0) fits no entry"},
		"RefFolder":   {"as skopeo writes oci:nginx:1.25", entries("other:1.25", "nginx:1.25"), []labelled{layout("./out/nginx", "1.25", "")}, []int{1}, ""},
		"RefArchive":  {"or oci-archive:nginx.tar:1.25", entries("other:1.25", "nginx:1.25"), []labelled{layout("nginx.tar", "1.25", "")}, []int{1}, ""},
		"RefTag":      {"the only one of that version", entries("other:1.24", "nginx:1.25"), []labelled{layout("layout", "1.25", "")}, []int{1}, ""},
		"RefTagOfTwo": {"no guess between two", entries("a:1.25", "b:1.25"), []labelled{layout("layout", "1.25", "")}, nil, "oci:layout (layout:1.25) fits several entries: a:1.25, b:1.25"},
		"RefOther":    {"a name that is not one of these is not dropped for its version", entries("upf:1.25"), []labelled{layout("upf", "nginx:1.25", "")}, nil, "fits no entry"},
		"RefNone":     {"a layout without names", entries("upf:1"), []labelled{layout("upf", "", "")}, nil, "(which says no name)"},
		"ManyEntries": {"a list has an end", entries(strings.Split(strings.Repeat("a:1 ", 30)+"a:1", " ")...), []labelled{is("x", identity{"b", "1"})}, nil, "and 11 more"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := match(tc.entries, tc.sources)
			if tc.says != "" {
				if err == nil || !strings.Contains(err.Error(), tc.says) {
					t.Errorf("%s: error %v, want %q", tc.reason, err, tc.says)
				}
				return
			}
			if diff := cmp.Diff(tc.want, got); diff != "" || err != nil {
				t.Errorf("%s: error %v (-want +got):\n%s", tc.reason, err, diff)
			}
		})
	}
}

func TestParseSource(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	chart, odd := filepath.Join(dir, "upf.tgz"), filepath.Join(dir, "a=b")
	for _, file := range []string{chart, odd, filepath.Join(dir, "l.tar")} {
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	at := func(host, repository, tag string, d digest.Digest) *plugin.ImageReference {
		return &plugin.ImageReference{Host: host, Repository: repository, Tag: tag, Digest: d}
	}
	one := digest.FromString("one")
	for name, tc := range map[string]struct {
		reason, arg string
		want        sourceArgument
		bad         string
	}{
		"Chart":       {"a file", chart, sourceArgument{chart: chart}, ""},
		"ChartSaid":   {"for an entry", "upf:1=" + chart, sourceArgument{entry: "upf:1", chart: chart}, ""},
		"Equals":      {"a file may be called so", odd, sourceArgument{chart: odd}, ""},
		"Layout":      {"a folder", "oci:./l", sourceArgument{layout: &layoutArgument{path: "./l"}}, ""},
		"LayoutTag":   {"one image of it", "oci:l:docker.io/library/nginx:1.25", sourceArgument{layout: &layoutArgument{path: "l", tag: "docker.io/library/nginx:1.25"}}, ""},
		"Archive":     {"a tar", "oci-archive:l.tar:1", sourceArgument{layout: &layoutArgument{path: "l.tar", archive: true, tag: "1"}}, ""},
		"LayoutSaid":  {"for an entry", "charts/upf:1=oci:l:2", sourceArgument{entry: "charts/upf:1", layout: &layoutArgument{path: "l", tag: "2"}}, ""},
		"LayoutEqual": {"a folder may be called so", "oci:a=b", sourceArgument{layout: &layoutArgument{path: "a=b"}}, ""},
		"NoFolder":    {"a layout is somewhere", "oci::1", sourceArgument{}, "neither oci:FOLDER"},
		"NoTag":       {"a tag has letters", "oci:l:", sourceArgument{}, "neither oci:FOLDER"},
		"Image":       {"host, repository, tag", "r.example.com/a/b:1", sourceArgument{image: at("r.example.com", "a/b", "1", "")}, ""},
		"ImagePort":   {"a host by its port", "registry:5000/b:1", sourceArgument{image: at("registry:5000", "b", "1", "")}, ""},
		"Hub":         {"docker.io's own", "docker.io/nginx:1.25", sourceArgument{image: at("docker.io", "library/nginx", "1.25", "")}, ""},
		"Docker":      {"as skopeo writes it", "docker://r.example.com/a:1", sourceArgument{image: at("r.example.com", "a", "1", "")}, ""},
		"Helm":        {"as Helm writes it", "oci://r.example.com/a:1", sourceArgument{image: at("r.example.com", "a", "1", "")}, ""},
		"ImageSaid":   {"for an entry, by digest", "a:1=r.example.com/b@" + one.String(), sourceArgument{entry: "a:1", image: at("r.example.com", "b", "", one)}, ""},
		"Signature":   {"it is itself here, not its subject", "r.example.com/a:sha256-" + one.Encoded() + ".sig", sourceArgument{image: at("r.example.com", "a", "sha256-"+one.Encoded()+".sig", "")}, ""},
		"NoHost":      {"a mistyped file is not an image of docker.io", "upf-1.0.0", sourceArgument{}, "not a file, and no image with its registry's host"},
		"NoHostPath":  {"nor of a host without a dot", "library/nginx:1.25", sourceArgument{}, "such as docker.io/library/nginx:1.25"},
		"NoTagAtAll":  {"no latest", "r.example.com/a", sourceArgument{}, "neither a tag nor a digest"},
		"NoFile":      {"a chart that is not there", "x.tgz", sourceArgument{}, "the file x.tgz does not exist"},
		"NoFileHere":  {"nor this", "./x", sourceArgument{}, "the file ./x does not exist"},
		"Folder":      {"a folder alone says nothing", dir, sourceArgument{}, "given as oci:" + dir},
		"Tar":         {"nor a tar", filepath.Join(dir, "l.tar"), sourceArgument{}, "given as oci-archive:"},
		"Device":      {"it is there, and is not one", os.DevNull, sourceArgument{}, os.DevNull + " is not a regular file"},
		"UserInfo":    {"no login in a reference", "u:secret@r.example.com/a:1", sourceArgument{}, "is not an image"},
		"WeirdHost":   {"no host", "r.example.com:99999999/a:1", sourceArgument{}, "not one that a registry can have"},
		"Up":          {"no repository", "r.example.com/../a:1", sourceArgument{}, "is not an image"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := parseSource(tc.arg, entryPattern.MatchString)
			if tc.bad != "" {
				if err == nil || !strings.Contains(err.Error(), tc.bad) {
					t.Errorf("%s: error %v, want %q", tc.reason, err, tc.bad)
				}
				return
			}
			tc.want.written = tc.arg
			if tc.want.image != nil {
				tc.want.image.Written = got.image.Written
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(sourceArgument{}, layoutArgument{}, plugin.ImageReference{})); diff != "" || err != nil {
				t.Errorf("%s: error %v (-want +got):\n%s", tc.reason, err, diff)
			}
		})
	}
}

func TestDecide(t *testing.T) {
	t.Parallel()
	at := func(s string) digest.Digest {
		if s == "" {
			return ""
		}
		return digest.FromString(s)
	}
	for name, tc := range map[string]struct {
		reason                  string
		source, there, recorded string
		seen                    string
		sameContent, foreign    bool
		sealed, overwrite, gone bool
		want                    result
		says                    string
	}{
		"Missing":          {reason: "nothing given, nothing there", want: resultMissing},
		"Present":          {reason: "nothing given, all there", there: "a", want: resultPresent},
		"Push":             {reason: "an ordinary push", source: "a", want: resultPush},
		"Skip":             {reason: "it is there", source: "a", there: "a", want: resultPresent},
		"SkipSealed":       {reason: "a sealed one too", source: "a", there: "a", sealed: true, overwrite: true, want: resultPresent},
		"Moved":            {reason: "what is there is not what was sealed", there: "b", recorded: "a", sealed: true, want: resultMoved},
		"SealedGone":       {reason: "it has to be there before the tag can come back", source: "a", there: "b", recorded: "a", sealed: true, gone: true, want: resultPush},
		"Other":            {reason: "somebody pushed something else", source: "a", there: "b", seen: "b", want: resultFailed, says: "--overwrite replaces it, and a tombstone keeps"},
		"Overwrite":        {reason: "it is meant", source: "a", there: "b", seen: "b", overwrite: true, want: resultOverwrite},
		"Unseen":           {reason: "no undo is promised that will not be", source: "a", there: "b", want: resultFailed, says: "has not seen yet what is there"},
		"UnseenOverwrite":  {reason: "it would be lost", source: "a", there: "b", overwrite: true, want: resultFailed, says: "Wait until status.artifacts"},
		"SeenOther":        {reason: "overwritten twice between two looks", source: "a", there: "b", recorded: "c", seen: "c", overwrite: true, want: resultFailed, says: "Wait until status.artifacts"},
		"Foreign":          {reason: "the manager buries nothing at a store's own path", source: "a", there: "b", foreign: true, want: resultFailed, says: "nothing keeps what it was at"},
		"ForeignOverwrite": {reason: "waiting would not help", source: "a", there: "b", foreign: true, overwrite: true, want: resultOverwrite},
		"OtherSealed":      {reason: "sealed stays sealed", source: "a", there: "b", sealed: true, overwrite: true, want: resultFailed, says: "make another manifest"},
		"SealedMoved":      {reason: "the operator moves it back", source: "a", there: "b", recorded: "a", sealed: true, overwrite: true, want: resultFailed, says: "nfo.dev/restore-digest=sha256:"},
		"SealedMissing":    {reason: "what a sealed one misses can be pushed", source: "a", recorded: "a", sealed: true, want: resultPush},
		"SealedNeverSeen":  {reason: "nobody knows what it was", source: "a", sealed: true, want: resultPush},
		"SealedOther":      {reason: "but not as something else", source: "a", recorded: "b", sealed: true, overwrite: true, want: resultFailed, says: "when the manifest was sealed"},
		"UnsealedRecorded": {reason: "an unsealed one can change", source: "a", recorded: "b", want: resultPush},
		"HelmPushed":       {reason: "the same chart, by helm push", source: "a", there: "b", sameContent: true, sealed: true, want: resultPresent},
	} {
		i := &item{current: ocispec.Descriptor{Digest: at(tc.there)}, recorded: at(tc.recorded), seen: at(tc.seen), foreign: tc.foreign, sameContent: tc.sameContent, candidate: &candidate{}}
		if tc.source != "" {
			i.source = &registry.Source{Root: registry.Manifest{Descriptor: ocispec.Descriptor{Digest: at(tc.source)}}}
		}
		i.gone = tc.gone
		got, err := i.decide(tc.sealed, tc.overwrite)
		if got != tc.want || (err != nil) != (tc.says != "") || err != nil && !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %s, error %v; want %s, %q: %s", name, got, err, tc.want, tc.says, tc.reason)
		}
	}
}

func TestImageNames(t *testing.T) {
	t.Parallel()
	named := func(names ...string) (all []ocispec.Descriptor) {
		for _, n := range names {
			all = append(all, ocispec.Descriptor{Annotations: map[string]string{ocispec.AnnotationRefName: n}})
		}
		return all
	}
	for _, tc := range []struct {
		reason string
		images []ocispec.Descriptor
		want   string
	}{
		{"what could be meant", named("1.0.0", "", "nginx:1.25"), `it has "1.0.0", "nginx:1.25"`},
		{"nothing could", named("", ""), "it names none; leave :TAG out"},
		{"a list has an end", named(strings.Split(strings.Repeat("x ", 24)+"x", " ")...), "and 5 more"},
	} {
		if got := imageNames(tc.images); !strings.Contains(got, tc.want) {
			t.Errorf("%s: %q, want %q", tc.reason, got, tc.want)
		}
	}
}

func TestAdvice(t *testing.T) {
	t.Parallel()
	spoiled, down := fmt.Errorf("a:1: %w", registry.ErrUnreadable), fmt.Errorf("b:1: %w", registry.ErrUnavailable)
	denied := fmt.Errorf("c:1: %w", registry.ErrDenied)
	for _, tc := range []struct {
		reason   string
		failures []error
		want     string
	}{
		{"a spoiled source stays so", []error{spoiled}, ""},
		{"a refusal lasts until somebody changes something", []error{denied, spoiled}, ""},
		{"a registry comes back", []error{down}, "; the same command goes on"},
		{"the others can go on", []error{spoiled, down}, "; the same command goes on"},
	} {
		if got := advice(tc.failures); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.reason, got, tc.want)
		}
	}
}

package workload

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	clocktesting "k8s.io/utils/clock/testing"
	kjson "sigs.k8s.io/json"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/chart/record"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/workload/decoded"
)

// usesOf returns all uses that a collector has found, in order.
func usesOf(c *collector) (all []Use) {
	for _, uses := range NewReading(time.Time{}, c.uses()).uses {
		all = append(all, uses...)
	}
	slices.SortFunc(all, compareUses)
	return all
}

// releases is a ReleaseReader for records that are texts: "NAME REVISION IMAGE IMAGE@HOOK ...", or "bad".
type releases struct {
	batches [][]string
	err     error
	only    int // the number of records that are decoded before err
}

func (r *releases) ReadReleases(_ context.Context, records [][]byte) (results []record.Result, err error) {
	var batch []string
	for i, data := range records {
		if r.err != nil && i >= r.only {
			return results, r.err
		}
		batch = append(batch, string(data))
		words := strings.Fields(string(data))
		if len(words) < 3 || words[0] == "bad" {
			results = append(results, record.Result{Err: fmt.Errorf("%w: %s", record.ErrUnreadable, strings.Repeat("long ", 200))})
			continue
		}
		of := record.Release{Name: words[0], Status: words[2]}
		_, err := fmt.Sscan(words[1], &of.Revision)
		for _, w := range words[3:] {
			image, hook, _ := strings.Cut(w, "#")
			of.Images = append(of.Images, record.Image{Reference: image, Hook: hook})
		}
		results = append(results, record.Result{Release: of, Err: err})
	}
	r.batches = append(r.batches, batch)
	return results, nil
}

func secretOf(name, annotations, data string) string {
	return fmt.Sprintf(`{"metadata":{"namespace":"cnf","name":%q,"uid":%q,"resourceVersion":"7","annotations":{%s}},"type":"helm.sh/release.v1","data":{"release":%q}}`,
		name, "uid-"+name, annotations, base64.StdEncoding.EncodeToString([]byte(data)))
}

// recordServer starts an API server with Secrets, one on each page.
func recordServer(t *testing.T, secrets ...string) (*rest.Config, *[]string) {
	t.Helper()
	var asked []string
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		q := req.URL.Query()
		asked = append(asked, req.URL.RequestURI())
		if req.URL.Path != "/api/v1/secrets" || q.Get("fieldSelector") != "type=helm.sh/release.v1" || q.Get("labelSelector") != "owner=helm" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		at, next, items := 0, "", ""
		_, _ = fmt.Sscan(q.Get("continue"), &at)
		if at < len(secrets) {
			items = secrets[at]
		}
		if at+1 < len(secrets) {
			next = fmt.Sprint(at + 1)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"kind":"SecretList","apiVersion":"v1","metadata":{"continue":%q},"items":[%s]}`, next, items)
	}))
	t.Cleanup(api.Close)
	return &rest.Config{Host: api.URL}, &asked
}

func readRecords(t *testing.T, r *Reader) (v1alpha1.WorkloadSourceStatus, map[string][]Use) {
	t.Helper()
	reading, err := r.Read(t.Context(), &v1alpha1.ArtifactStore{Spec: v1alpha1.ArtifactStoreSpec{
		Registry:  v1alpha1.RegistrySpec{URL: "https://r.example/acme"},
		Workloads: &v1alpha1.WorkloadsSpec{Sources: []v1alpha1.WorkloadSource{v1alpha1.WorkloadHelmReleases}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	s := reading.Sources[0]
	s.Since = metav1.Time{}
	return s, reading.uses
}

func TestI14EveryRevisionOfAReleaseHolds(t *testing.T) {
	t.Parallel()
	of := func(part, repository, tag string) Use {
		return Use{Holder: reference.Object{Kind: "HelmRelease", Namespace: "cnf", Name: "upf"}, Part: part, Repository: repository, Tag: tag}
	}
	leaving := of("revision 3", "acme/upf", "3")
	leaving.Terminating = true
	tests := map[string]struct {
		reason, secret string
		want           []Use
	}{
		"manifest":     {"an image of an old revision, to which a rollback goes", secretOf("a", "", "upf 1 superseded r.example/acme/upf:1 other.example/x:1"), []Use{of("revision 1", "acme/upf", "1")}},
		"hook":         {"an image that only a hook names", secretOf("a", "", "upf 2 deployed r.example/acme/upf:2 r.example/acme/test:2#check"), []Use{of("revision 2", "acme/upf", "2"), of("revision 2, hook check", "acme/test", "2")}},
		"uninstalling": {"a release that is being uninstalled holds, and says so", secretOf("a", "", "upf 3 uninstalling r.example/acme/upf:3"), []Use{leaving}},
		"uninstalled":  {"one whose history is kept can come back", secretOf("a", "", "upf 4 uninstalled r.example/acme/upf:4"), []Use{of("revision 4", "acme/upf", "4")}},
		"ignored":      {"the annotation excludes a record, whatever is in it", secretOf("a", `"nfo.dev/ignore":""`, "bad"), nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCollector(acme, mostOfStore)
			clock := clocktesting.NewFakePassiveClock(time.Now())
			c.records = &records{releases: &releases{}, decoded: decoded.New(clock)}
			one := kjson.NewDecoderCaseSensitivePreserveInts(strings.NewReader(tc.secret))
			if err := errors.Join(c.releaseRecord(one), c.decodeRecords(t.Context(), true)); err != nil {
				t.Fatal(err)
			}
			slices.SortFunc(tc.want, compareUses)
			if diff := cmp.Diff(tc.want, usesOf(c)); diff != "" {
				t.Errorf("%s: %s", tc.reason, diff)
			}
		})
	}
}

func TestI2ARecordThatCannotBeDecodedFailsTheSource(t *testing.T) {
	t.Parallel()
	good := secretOf("good", "", "upf 1 deployed r.example/acme/upf:1")
	bad := func(name string) string { return secretOf(name, "", "bad") }
	tests := map[string]struct {
		reason  string
		secrets []string
		reader  ReleaseReader
		state   v1alpha1.WorkloadSourceState
		says    []string
	}{
		"none":    {"a cluster without Helm", nil, &releases{}, v1alpha1.WorkloadsRead, nil},
		"good":    {"all can be decoded", []string{good}, &releases{}, v1alpha1.WorkloadsRead, nil},
		"one bad": {"the message names the Secret and the remedy", []string{good, bad("sh.helm.release.v1.x.v1")}, &releases{}, v1alpha1.WorkloadsFailed, []string{"record in Secret cnf/sh.helm.release.v1.x.v1: invalid Helm", "kubectl annotate secret -n cnf sh.helm.release.v1.x.v1 nfo.dev/ignore=true"}},
		"many":    {"the others are named too, up to a bound", []string{bad("a"), bad("b"), bad("c"), bad("d"), bad("e"), bad("f")}, &releases{}, v1alpha1.WorkloadsFailed, []string{"Secret cnf/a", "; the same for cnf/b, cnf/c, cnf/d and 2 more"}},
		"no data": {"a Secret without a record", []string{secretOf("empty", "", "")}, &releases{}, v1alpha1.WorkloadsFailed, []string{"Secret cnf/empty"}},
		"machine": {"nothing is known while the machine is short", []string{good}, &releases{err: errors.New("interrupted")}, v1alpha1.WorkloadsFailed, []string{"decoding Helm release records: interrupted"}},
		"without": {"a program that cannot decode records", nil, nil, v1alpha1.WorkloadsFailed, []string{"this program cannot decode", "remove HelmReleases"}},
		"other":   {"an answer that is not one of Secrets", []string{`"x"`}, &releases{}, v1alpha1.WorkloadsFailed, []string{"listing secrets", "reading a Secret"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kube, _ := recordServer(t, tc.secrets...)
			r, err := NewReader(kube, http.DefaultClient, tc.reader, clocktesting.NewFakePassiveClock(time.Now()), time.Now)
			if err != nil {
				t.Fatal(err)
			}
			s, _ := readRecords(t, r)
			if s.State != tc.state || len(tc.says) == 0 && s.Message != "" || len(s.Message) > 1024 {
				t.Errorf("%s: %s: %s", tc.reason, s.State, s.Message)
			}
			for _, says := range tc.says {
				if !strings.Contains(s.Message, says) {
					t.Errorf("%s: it does not say %q: %s", tc.reason, says, s.Message)
				}
			}
		})
	}
}

func TestRecordsAreDecodedOnce(t *testing.T) {
	t.Parallel()
	first, second := secretOf("a", "", "upf 1 superseded r.example/acme/upf:1"), secretOf("b", "", "bad")
	kube, asked := recordServer(t, first, second)
	decode := &releases{err: errors.New("interrupted"), only: 1}
	r, err := NewReader(kube, http.DefaultClient, decode, clocktesting.NewFakePassiveClock(time.Now()), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if s, _ := readRecords(t, r); s.State != v1alpha1.WorkloadsFailed || !strings.Contains(s.Message, "interrupted") {
		t.Errorf("a reading that is interrupted is %s: %s", s.State, s.Message)
	}
	decode.err = nil
	for range 3 {
		s, uses := readRecords(t, r)
		if s.State != v1alpha1.WorkloadsFailed || s.Objects != 2 || len(uses["acme/upf"]) != 1 {
			t.Errorf("a record that cannot be decoded is forgotten: %+v %v", s, uses)
		}
	}
	if diff := cmp.Diff([][]string{{"bad"}}, decode.batches); diff != "" {
		t.Errorf("what was decoded before the interruption, and what cannot be decoded, is remembered: %s", diff)
	}
	if n := len(*asked); n != 8 || !strings.Contains((*asked)[0], "limit=8") {
		t.Errorf("%d requests, the first one %s", n, (*asked)[0])
	}
}

func TestRecordsAreDecodedWhenThereAreEnough(t *testing.T) {
	t.Parallel()
	var secrets []string
	for i := range 5 {
		secrets = append(secrets, secretOf(fmt.Sprint(i), "", fmt.Sprintf("upf %d superseded r.example/acme/upf:%d %s", i, i, strings.Repeat("x", 1<<20))))
	}
	kube, _ := recordServer(t, secrets...)
	decode := &releases{}
	r, err := NewReader(kube, http.DefaultClient, decode, clocktesting.NewFakePassiveClock(time.Now()), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	s, uses := readRecords(t, r)
	if s.State != v1alpha1.WorkloadsRead || len(uses["acme/upf"]) != 5 {
		t.Errorf("%+v", s)
	}
	var sizes []int
	for _, b := range decode.batches {
		sizes = append(sizes, len(b))
	}
	if diff := cmp.Diff([]int{2, 2, 1}, sizes); diff != "" {
		t.Errorf("records are decoded in batches of 2 MiB: %s", diff)
	}
}

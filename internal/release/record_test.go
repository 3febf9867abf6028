package release

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/inventory"
	"github.com/nfo-operator/nfo/internal/tombstone"
)

// seen is a finding of a tag that exists, at digest b.
func seen(earlier string) Finding {
	return Finding{ArtifactStatus: present("b"), earlier: earlier, There: true}
}

// filled returns as many digests as a tombstone's entry can have, ending with last.
func filled(last string) []string {
	ds := make([]string, tombstone.MaxDigests)
	for i := range ds {
		ds[i] = "d" + strconv.Itoa(i)
	}
	ds[tombstone.MaxDigests-1] = last
	return ds
}

func TestI4DigestsOnlyGrow(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		reason string
		has    []string
		found  Finding
		want   []string
	}{
		"First":   {"the first digest", nil, seen(""), []string{"b"}},
		"Same":    {"nothing new", []string{"b"}, seen(""), []string{"b"}},
		"Moved":   {"the tag has moved: both stay, the new one last", nil, seen("a"), []string{"a", "b"}},
		"Back":    {"the tag has moved back: the last one is restored", []string{"b", "a"}, seen(""), []string{"a", "b"}},
		"Another": {"what was recorded stays", []string{"a"}, seen("a"), []string{"a", "b"}},
		"Gone":    {"what is recorded may be older than what this release has seen", []string{"a", "b"}, Finding{ArtifactStatus: present("a")}, []string{"a", "b"}},
		"Unseen":  {"it is kept, and is not what a restore takes", []string{"b"}, Finding{ArtifactStatus: present("a")}, []string{"a", "b"}},
		"Full":    {"the API server takes no more digests, and a tombstone that cannot be written ends every release", filled("b"), Finding{ArtifactStatus: present("a")}, filled("b")},
		"FullNew": {"the oldest one makes room", filled("c"), seen(""), append(filled("c")[1:], "b")},
		"GoneNew": {"nothing else is known of it", nil, Finding{ArtifactStatus: present("a")}, []string{"a"}},
		"Anew":    {"the earlier release is over, so that what is recorded is newer", []string{"a", "b"}, Finding{ArtifactStatus: present("a"), anew: true}, []string{"b", "a"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := &v1alpha1.Tombstone{}
			if tc.has != nil {
				g.Spec.Artifacts = []v1alpha1.TombstoneArtifact{{Repository: repo, Tag: "1.0.0", Digests: tc.has}}
			}
			grow(g, []Finding{tc.found})
			if diff := cmp.Diff(tc.want, g.Spec.Artifacts[0].Digests); diff != "" {
				t.Errorf("%s: -want +got\n%s", tc.reason, diff)
			}
		})
	}
}

// An entry that is released a second time must not become a purge
// candidate because of the grace period of the first release.
func TestI1AReleaseAnewStartsItsGraceAnew(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		reason string
		state  v1alpha1.TombstoneState
		there  bool
		keeps  bool
	}{
		"Resumed":       {"the tag was removed and the process died", v1alpha1.TombstoneUntagged, false, true},
		"Kept":          {"a purge has looked at it meanwhile", v1alpha1.TombstoneKept, false, true},
		"PushedAgain":   {"the tag is there again", v1alpha1.TombstoneUntagged, true, false},
		"Restored":      {"it was restored before", v1alpha1.TombstoneRestored, true, false},
		"RestoredGone":  {"it was restored, and the tag was removed by hand", v1alpha1.TombstoneRestored, false, false},
		"Sweeping":      {"a purge has claimed what is now ours again", v1alpha1.TombstoneSweeping, true, false},
		"InterruptedIn": {"a restore was interrupted", v1alpha1.TombstoneRestoring, true, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at := metav1.Unix(10, 0)
			g := grave(v1alpha1.CauseReleased, tc.state, 10)
			changed := reset(&g, []Finding{{ArtifactStatus: present("sha256:a"), There: tc.there}})
			e := g.Entry(repo, "1.0.0")
			if changed == tc.keeps || (e.UntaggedAt != nil && e.UntaggedAt.Equal(&at)) != tc.keeps {
				t.Errorf("%s: changed %t, now %+v", tc.reason, changed, e)
			}
			if !tc.keeps && e.State != v1alpha1.TombstonePending {
				t.Errorf("%s: state %s", tc.reason, e.State)
			}
		})
	}
}

func TestI9OnlyTheManifestsOwnPathIsReleased(t *testing.T) {
	t.Parallel()
	m := &v1alpha1.ArtifactManifest{}
	m.Name = "m"
	old, other := present("sha256:a"), present("sha256:a")
	old.Repository, other.Repository = "acme/nginx", "acme/m2/nginx"
	got := Task{Manifest: m, Entries: []v1alpha1.ArtifactStatus{old, present("sha256:a"), other}}.Owned(location)
	if diff := cmp.Diff([]v1alpha1.ArtifactStatus{present("sha256:a")}, got); diff != "" {
		t.Errorf("a manifest upgraded from the store-scoped path releases what lies there: -want +got\n%s", diff)
	}
}

// full is an API server whose quota for tombstones is used up: it
// refuses to create a tombstone before it checks whether that exists.
type full struct{ client.Client }

func (f full) Create(ctx context.Context, o client.Object, options ...client.CreateOption) error {
	if _, ok := o.(*v1alpha1.Tombstone); ok {
		return apierrors.NewForbidden(schema.GroupResource{Resource: "tombstones"}, o.GetName(), errors.New("exceeded quota: q"))
	}
	return f.Client.Create(ctx, o, options...)
}

// An interrupted release has its tombstone already, so a used-up quota
// does not stop it. A release without a tombstone untags nothing.
func TestAQuotaDoesNotKeepAReleaseFromItsEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a")
	r := w.releaser()
	r.API = full{w.api}
	if _, err := r.Release(t.Context(), w.task()); !apierrors.IsForbidden(err) {
		t.Errorf("without a tombstone: %v", err)
	}
	if w.at("a", "1") == "" || len(w.tombstones()) > 0 {
		t.Errorf("the tag is at %q, and there are %d tombstones", w.at("a", "1"), len(w.tombstones()))
	}
	w.crash.Set(1, false) // the crash comes after the tombstone was written
	if _, err := w.releaser().Release(t.Context(), w.task()); err == nil || len(w.tombstones()) != 1 {
		t.Fatalf("%v, and %d tombstones", err, len(w.tombstones()))
	}
	w.crash.Set(-1, false)
	out, err := r.Release(t.Context(), w.task())
	if err != nil || !slices.Equal(out.Tombstones, []string{w.tombstones()[0].Name}) || w.at("a", "1") != "" {
		t.Errorf("%v, released %v, the tag is at %q", err, out.Tombstones, w.at("a", "1"))
	}
	w.whole("at the end")
}

// A store that was created again elsewhere releases into a new tombstone:
// a tombstone of the earlier place would be ignored at the new one.
func TestI4ATombstoneIsOfOnePlace(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a")
	before := tombstone.New(w.manifest, &v1alpha1.ArtifactStore{}, v1alpha1.CauseReleased, tombstone.Name(w.manifest, v1alpha1.CauseReleased, ""))
	before.Spec.RegistryURL = "http://old.example.com/acme"
	if err := w.api.Create(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	for range 2 { // a second time, as after an interruption
		if _, err := w.releaser().Release(t.Context(), w.task()); err != nil {
			t.Fatal(err)
		}
	}
	all := w.tombstones()
	here := slices.DeleteFunc(slices.Clone(all), func(o v1alpha1.Tombstone) bool { return o.Spec.RegistryURL == before.Spec.RegistryURL })
	if len(all) != 2 || len(here) != 1 || len(here[0].Spec.Artifacts) != 1 || here[0].Entry("acme/m/a", "1").State != v1alpha1.TombstoneUntagged {
		t.Errorf("the tombstones are %+v", all)
	}
	w.whole("after it")
}

// The sealed digests are known although the manifest has lost its
// status, as after a restored backup: the manifest waits for its store.
func TestI2ASealedManifestWithoutStatusWaitsForItsStore(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a")
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	must(w.api.Delete(t.Context(), &v1alpha1.ArtifactStore{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "acme"}}))
	must(w.api.Get(t.Context(), client.ObjectKeyFromObject(w.manifest), w.manifest))
	w.manifest.Spec.ArtifactManifestState = v1alpha1.ManifestUploaded
	w.manifest.Annotations = map[string]string{v1alpha1.AnnotationSealedDigests: w.digests["a"]}
	must(w.api.Update(t.Context(), w.manifest))
	w.manifest.Status = v1alpha1.ArtifactManifestStatus{}
	must(w.api.Status().Update(t.Context(), w.manifest))
	task := Task{Manifest: w.manifest, Entries: inventory.Entries(w.manifest, v1alpha1.RegistryLocation{}), Cause: v1alpha1.CauseReleased}
	if out, err := w.releaser().Release(t.Context(), task); !errors.Is(err, ErrStoreNotFound) {
		t.Errorf("it is released (%s): %v, want %v", out.Untouched, err, ErrStoreNotFound)
	}
}

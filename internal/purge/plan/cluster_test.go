package plan

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/purge/reading"
	"github.com/nfo-operator/nfo/internal/reference"
)

// A digest is kept while it is unknown what holds its tombstone. The test finds a plan that trusts an incomplete list.
func TestI2UnknownHoldersKeep(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(reference.Definitions){
		"missing":     func(ds reference.Definitions) { delete(ds, v1alpha1.KindDesign) },
		"terminating": func(ds reference.Definitions) { ds[v1alpha1.KindDefinition] = reference.Definition{Terminating: true} },
		"younger": func(ds reference.Definitions) {
			ds[v1alpha1.KindArtifactManifest] = reference.Definition{Created: now.Add(-time.Hour)}
		},
	} {
		ds := reference.Definitions{}
		for kind, d := range known {
			ds[kind] = d
		}
		change(ds)
		c := NewCluster(reading.Objects{Begun: now, Now: now, Key: storeKey, Stores: []v1alpha1.ArtifactStore{*aStore()}, Tombstones: []v1alpha1.Tombstone{*aTombstone("t", released(30, "1", "a"))}, Definitions: ds})
		vs := Decide(c, map[string]reading.Repository{repo: content{}.reading()})
		if diff := cmp.Diff(map[string]string{"a": "keep Held"}, said(vs, "a")); diff != "" || !strings.Contains(vs[0].Message, "CustomResourceDefinition") {
			t.Errorf("%s: %q, -want +got\n%s", name, vs[0].Message, diff)
		}
	}
}

// URLs that differ only in scheme, case, default port or alias refer to
// the same registry. The test finds a plan that compares them as text.
func TestI9OnePlaceOneRule(t *testing.T) {
	t.Parallel()
	for _, urls := range [][2]string{
		{"https://registry.example.com/acme", "http://registry.example.com/acme"},
		{"https://Registry.Example.com:443/acme/", "https://registry.example.com/acme"},
		{"https://docker.io/acme", "https://registry-1.docker.io/acme"},
	} {
		store := aStore(func(s *v1alpha1.ArtifactStore) { s.Spec.Registry.URL = urls[0] })
		grace := aTombstone("t1", released(2, "1", "a"), func(t *v1alpha1.Tombstone) { t.Spec.RegistryURL = urls[1] })
		over := aTombstone("t2", released(30, "2", "a", "b"), func(t *v1alpha1.Tombstone) { t.Spec.RegistryURL = urls[1] })
		got := said(Decide(clusterOf(t, store, grace, over), map[string]reading.Repository{repo: content{}.reading()}), names...)
		if diff := cmp.Diff(map[string]string{"a": "keep GracePeriod", "b": "delete Released"}, got); diff != "" {
			t.Errorf("%v: -want +got\n%s", urls, diff)
		}
	}
}

// An untagged index is known only from its tombstone or from a manifest's status. The test finds a reading that misses it.
func TestI1ReadingStartsAtEveryRoot(t *testing.T) {
	t.Parallel()
	c := clusterOf(t, aStore(), aManifest(records("1.0.2", "c")),
		aTombstone("t1", released(30, "1.0.0", "a")), aTombstone("t2", released(2, "1.0.1", "b")),
		aTombstone("t3", in(repo, v1alpha1.TombstoneRestoring, 30, "1.0.3", "x")))
	if diff := cmp.Diff(ds("a", "b", "x", "c"), c.Starts(repo)); diff != "" {
		t.Errorf("starts: -want +got\n%s", diff)
	}
}

// An older store of the namespace that the administrator's list refuses
// must not keep the store that the list admits from being purged.
func TestAStoreThatIsRefusedWinsOverNobody(t *testing.T) {
	t.Parallel()
	s, older := aStore(), aStore(func(s *v1alpha1.ArtifactStore) {
		s.Name, s.UID, s.CreationTimestamp, s.Spec.Registry.URL = "older", "older", *ago(200), "https://registry.example.com"
	})
	if err := refuse(s, []v1alpha1.ArtifactStore{*s, *older}); !errors.Is(err, ErrRefused) {
		t.Errorf("beside an older store the error is %v", err)
	}
	older.Status.Conditions[0].Status, older.Status.Conditions[0].Reason = metav1.ConditionFalse, v1alpha1.ReasonPlaceRefused
	if err := refuse(s, []v1alpha1.ArtifactStore{*s, *older}); err != nil {
		t.Errorf("beside one that is refused the error is %v", err)
	}
}

package manifest

import (
	"context"
	"strconv"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	testingclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
)

// manifestsOf always lists the same manifests.
type manifestsOf struct {
	client.Reader
	all []v1alpha1.ArtifactManifest
}

func (r *manifestsOf) List(_ context.Context, l client.ObjectList, _ ...client.ListOption) error {
	into, _ := l.(*v1alpha1.ArtifactManifestList)
	into.Items = r.all
	return nil
}

// A manifest that was woken by another one's upload, and was given a catalogue from before the upload, must look again.
func TestAStaleCatalogueIsLookedAtAgain(t *testing.T) {
	t.Parallel()
	base := &v1alpha1.ArtifactManifest{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "base"}}
	base.Spec.Artifacts = []v1alpha1.ManifestArtifact{{ArtifactName: "proxy", ArtifactVersion: "1"}}
	api, now := &manifestsOf{all: []v1alpha1.ArtifactManifest{*base}}, testingclock.NewFakePassiveClock(time.Unix(1000, 0))
	store := &v1alpha1.ArtifactStore{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "acme"}}
	l := v1alpha1.RegistryLocation{Host: "r.example.com", Prefix: "acme"}
	r := &Reconciler{Catalogues: NewCatalogues(api, now)}
	look := func(names ...string) (digest string, again time.Duration) {
		d, err := r.Catalogues.get(t.Context(), store, l, names)
		if err != nil {
			t.Fatal(err)
		}
		return d.Catalogue["proxy"][0].Digest, r.soonest(manifestSeen{store: store, elsewhere: d, lacking: names}, manifestVerdict{again: time.Hour})
	}
	if digest, again := look("proxy"); digest != "" || again != time.Hour {
		t.Fatalf("first %q, again in %s", digest, again)
	}
	now.SetTime(now.Now().Add(changedAge / 2))
	base.Status.Artifacts = []v1alpha1.ArtifactStatus{{ArtifactName: "proxy", ArtifactVersion: "1", Repository: l.Repository("base", "", "proxy"), Digest: "sha256:a"}}
	api.all[0] = *base
	r.Catalogues.Change(reference.Self(store), map[string]bool{"proxy": true})
	if digest, again := look("proxy"); digest != "" || again != changedAge {
		t.Fatalf("woken at once %q, again in %s", digest, again)
	}
	if _, again := look("other"); again != time.Hour {
		t.Fatalf("what looks for something else looks again in %s", again)
	}
	now.SetTime(now.Now().Add(changedAge))
	if digest, again := look("proxy"); digest != "sha256:a" || again != time.Hour {
		t.Fatalf("looking again %q, again in %s", digest, again)
	}
}

// Changes must be dropped also for stores whose catalogue is never read. A manifest may
// reference any store, and a cluster may have no charts, so these changes would pile up.
func TestChangesOfStoresThatNobodyAsksAbout(t *testing.T) {
	t.Parallel()
	now := testingclock.NewFakePassiveClock(time.Unix(1000, 0))
	c := NewCatalogues(&manifestsOf{}, now)
	for i := range 100 {
		c.Change(reference.Object{Kind: v1alpha1.KindArtifactStore, Namespace: "ns", Name: strconv.Itoa(i)}, map[string]bool{"proxy": true})
		now.SetTime(now.Now().Add(time.Second))
	}
	if n := len(c.changed); n > 20 {
		t.Errorf("changes of %d stores are remembered, one a second, want those of two times %s", n, catalogueAge)
	}
}

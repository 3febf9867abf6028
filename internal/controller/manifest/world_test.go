package manifest

import (
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	chartcontroller "github.com/nfo-operator/nfo/internal/controller/chart"
	"github.com/nfo-operator/nfo/internal/controller/manifest/polls"
	"github.com/nfo-operator/nfo/internal/controller/pass/passtest"
	"github.com/nfo-operator/nfo/internal/lane"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
	"github.com/nfo-operator/nfo/internal/release"
	"github.com/nfo-operator/nfo/internal/tombstone"
)

// world has a manifest m with the artifacts a and b, which are in the registry, and runs passes over it.
type world struct {
	*passtest.World
	t *testing.T
	r *Reconciler
	// digests are all digests that were ever pushed, by repository.
	digests map[string][]string
}

func newWorld(t *testing.T, change ...func(*v1alpha1.ArtifactStore)) *world {
	t.Helper()
	w := &world{World: passtest.NewWorld(t, change...), t: t, digests: map[string][]string{}}
	w.restart()
	w.push("a", "first")
	w.push("b", "first")
	w.apply(func(*v1alpha1.ArtifactManifest) {})
	return w
}

// restart makes the reconciler of a process that has just started.
func (w *world) restart() {
	opened, speeds := w.Registries(), w.Speeds()
	finder := w.Finder()
	w.r = &Reconciler{
		Client: w.API, Holders: finder, Registries: opened, Events: w.Events, Now: time.Now,
		Polls: polls.New(1e6, w.Clock), Readings: chartcontroller.NewReadings(), Catalogues: NewCatalogues(w.API, w.Clock),
		Polling: lane.New(lane.Polls, speeds, w.Clock), Releasing: lane.New(lane.Releases, speeds, w.Clock),
		Releaser: &release.Releaser{
			API: w.API, Live: w.API, Holders: finder, Open: opened.Open, Purges: release.NewPurges(w.Clock), Clock: w.Clock, Now: time.Now,
		},
	}
}

// push pushes tag 1 of an artifact, and returns the digest.
func (w *world) push(name, seed string) string {
	w.t.Helper()
	repository := "acme/m/" + name
	d, err := registrytest.PushImage(w.t.Context(), w.Host, repository, "1", name+seed)
	if err != nil {
		w.t.Fatal(err)
	}
	w.digests[repository] = append(w.digests[repository], d.Digest.String())
	return d.Digest.String()
}

// apply creates the manifest.
func (w *world) apply(change func(*v1alpha1.ArtifactManifest)) {
	w.t.Helper()
	m := &v1alpha1.ArtifactManifest{ObjectMeta: passtest.Meta("m")}
	m.Spec = v1alpha1.ArtifactManifestSpec{ArtifactStoreRef: v1alpha1.LocalReference{Name: "acme"}, UploadPath: v1alpha1.ManifestScoped, ArtifactManifestState: v1alpha1.ManifestUploading}
	for _, name := range []string{"a", "b"} {
		m.Spec.Artifacts = append(m.Spec.Artifacts, v1alpha1.ManifestArtifact{ArtifactName: name, ArtifactVersion: "1"})
	}
	change(m)
	if err := w.API.Create(w.t.Context(), m); err != nil {
		w.t.Fatal(err)
	}
}

// manifest returns the stored manifest; nil once it is deleted.
func (w *world) manifest() *v1alpha1.ArtifactManifest {
	w.t.Helper()
	m := &v1alpha1.ArtifactManifest{}
	err := w.API.Get(w.t.Context(), client.ObjectKey{Namespace: "ns", Name: "m"}, m)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

// edit changes the manifest as a user does.
func (w *world) edit(change func(*v1alpha1.ArtifactManifest)) {
	w.t.Helper()
	m := w.manifest()
	change(m)
	m.Generation++ // a fake API server does not do this
	if err := w.API.Update(w.t.Context(), m); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) remove() {
	w.t.Helper()
	if err := w.API.Delete(w.t.Context(), w.manifest()); err != nil {
		w.t.Fatal(err)
	}
}

// passes runs n passes, each when everything is due. A failed pass is repeated.
func (w *world) passes(n int) {
	w.t.Helper()
	for range n {
		m := w.manifest()
		if m == nil {
			return
		}
		_, _ = w.r.Reconcile(w.t.Context(), m) // errors are reported in conditions
		w.Later()
	}
}

// settle runs passes of a process that has just started, and
// fails the test unless the manifest then has these conditions.
func (w *world) settle(want ...string) {
	w.t.Helper()
	w.Crash.Set(-1, false)
	w.restart()
	w.passes(8)
	w.says(want...)
}

// says fails the test unless the manifest has these conditions, as
// Type=Status/Reason. Without conditions, the manifest must be gone.
func (w *world) says(want ...string) {
	w.t.Helper()
	m := w.manifest()
	if (m == nil) != (len(want) == 0) {
		w.t.Errorf("the manifest is there: %t; it should say %v", m != nil, want)
		return
	}
	for _, condition := range want {
		kind, rest, _ := strings.Cut(condition, "=")
		c := apimeta.FindStatusCondition(m.Status.Conditions, kind)
		if c == nil || string(c.Status)+"/"+c.Reason != rest {
			w.t.Errorf("it says %+v, want %s", c, condition)
		}
	}
}

// tags fails the test unless the tags of a and b are at these digests; "" for a missing tag.
func (w *world) tags(a, b string) {
	w.t.Helper()
	if at := w.At(w.t, "acme/m/a", "1"); at != a {
		w.t.Errorf("the tag of a is at %q, want %q", at, a)
	}
	if at := w.At(w.t, "acme/m/b", "1"); at != b {
		w.t.Errorf("the tag of b is at %q, want %q", at, b)
	}
}

// whole fails the test unless each digest that was ever pushed is in the registry and
// also has a tag, is recorded in the manifest, or can be restored from a tombstone.
func (w *world) whole() {
	w.t.Helper()
	kept := map[string]bool{}
	for _, t := range w.Tombstones(w.t) {
		for _, a := range t.Spec.Artifacts {
			kept[a.Repository+"@"+tombstone.RestoredDigest(a)] = true
		}
	}
	if m := w.manifest(); m != nil {
		for _, a := range m.Status.Artifacts {
			kept[a.Repository+"@"+a.Digest] = true
		}
	}
	for repository, all := range w.digests {
		for _, d := range all {
			if w.At(w.t, repository, d) != d {
				w.t.Errorf("%s@%s is lost", repository, d)
			}
			if !kept[repository+"@"+d] && w.At(w.t, repository, "1") != d {
				w.t.Errorf("nobody knows of %s@%s", repository, d)
			}
		}
	}
}

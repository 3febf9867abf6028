package manifest

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/crashtest"
)

// A process that ends between any two writes for a manifest must lose nothing, and
// neither must one of which any write fails. The next process completes the work.
func TestI4ACrashBetweenAnyTwoWritesOfAManifest(t *testing.T) {
	t.Parallel()
	const ready = "Ready=True/Ready"
	quarantined := func(s *v1alpha1.ArtifactStore) { s.Spec.Purge.Undo = v1alpha1.UndoQuarantineTag }
	tests := map[string]struct {
		reason string
		store  func(*v1alpha1.ArtifactStore)
		least  int
		// before makes the state in which the case begins, and begins does what a user
		// does then. It returns the digests that the tags of a and b have in the end.
		before func(w *world)
		begins func(w *world) (a, b string)
		want   []string
	}{
		"Seen": {
			reason: "the finalizer, and what is in the registry", least: 2,
			before: func(*world) {}, begins: (*world).firsts, want: []string{ready, "Uploaded=True/Complete"},
		},
		"Overwritten": {
			reason: "the old digest gets a grace of its own", least: 3, before: (*world).ready,
			begins: func(w *world) (a, b string) { return w.push("a", "second"), w.digests["acme/m/b"][0] }, want: []string{ready},
		},
		"OverwrittenQuarantined": {
			reason: "and a tag that keeps it", store: quarantined, least: 4, before: (*world).ready,
			begins: func(w *world) (a, b string) { return w.push("a", "second"), w.digests["acme/m/b"][0] }, want: []string{ready},
		},
		"Removed": {
			reason: "an entry that left the spec is released", least: 4, before: (*world).ready,
			begins: func(w *world) (a, b string) {
				w.edit(func(m *v1alpha1.ArtifactManifest) { m.Spec.Artifacts = m.Spec.Artifacts[:1] })
				return w.digests["acme/m/a"][0], ""
			}, want: []string{ready},
		},
		"Deleted": {
			reason: "all is released, and then the manifest goes", least: 6, before: (*world).ready,
			begins: func(w *world) (a, b string) { w.remove(); return "", "" },
		},
		"DeletedQuarantined": {
			reason: "each digest has its undo tag before its tag goes", store: quarantined, least: 8, before: (*world).ready,
			begins: func(w *world) (a, b string) { w.remove(); return "", "" },
		},
		"AppliedAgain": {
			reason: "its tags come back without an upload", least: 5, before: (*world).released,
			begins: func(w *world) (a, b string) {
				w.apply(func(*v1alpha1.ArtifactManifest) {})
				return w.firsts()
			}, want: []string{ready},
		},
		"AppliedAgainQuarantined": {
			reason: "and the undo tags go", store: quarantined, least: 7, before: (*world).released,
			begins: func(w *world) (a, b string) {
				w.apply(func(*v1alpha1.ArtifactManifest) {})
				return w.firsts()
			}, want: []string{ready},
		},
		"PutBack": {
			reason: "a sealed tag that was overwritten is put back by order, and what was there is kept", least: 5, before: (*world).tampered,
			begins: func(w *world) (a, b string) {
				a, b = w.firsts()
				w.edit(func(m *v1alpha1.ArtifactManifest) {
					metav1.SetMetaDataAnnotation(&m.ObjectMeta, v1alpha1.AnnotationRestoreDigest, a)
					m.Generation-- // an annotation does not raise the generation
				})
				return a, b
			}, want: []string{ready, "Uploaded=True/Complete"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			crashtest.AtEveryWrite(t, tc.least, func(t *testing.T, at int, once bool) int {
				t.Helper()
				w := newWorld(t, func(s *v1alpha1.ArtifactStore) {
					if tc.store != nil {
						tc.store(s)
					}
				})
				tc.before(w)
				a, b := tc.begins(w)
				w.restart()
				w.Crash.Set(at, once)
				w.passes(4)
				writes := w.Crash.Writes()
				w.whole()
				w.settle(tc.want...)
				w.tags(a, b)
				w.whole()
				w.tidy(tc.store != nil, once)
				return writes
			})
		})
	}
}

// firsts returns the digests that were pushed first.
func (w *world) firsts() (a, b string) { return w.digests["acme/m/a"][0], w.digests["acme/m/b"][0] }

// ready polls the manifest until it is Ready.
func (w *world) ready() {
	w.t.Helper()
	w.passes(4)
	w.says("Ready=True/Ready")
}

// released deletes the manifest and waits until it is released.
func (w *world) released() {
	w.t.Helper()
	w.ready()
	w.remove()
	w.passes(4)
	w.says()
	w.tags("", "")
}

// tampered seals the manifest and then overwrites one of its tags.
func (w *world) tampered() {
	w.t.Helper()
	w.ready()
	w.edit(func(m *v1alpha1.ArtifactManifest) { m.Spec.ArtifactManifestState = v1alpha1.ManifestUploaded })
	w.passes(4)
	w.says("Ready=True/Ready")
	w.push("a", "intruder")
	w.passes(2)
	w.says("Ready=False/Tampered")
}

// tidy fails the test if something is left that is no longer needed: a tombstone whose
// entries are all restored, an undo tag without a tombstone, or an order that was
// carried out. A registry that refuses to remove an undo tag keeps it until the purge.
func (w *world) tidy(quarantined, refused bool) {
	w.t.Helper()
	if m := w.manifest(); m != nil && m.Annotations[v1alpha1.AnnotationRestoreDigest] != "" {
		w.t.Error("the order is still there")
	}
	kept := map[string]bool{}
	for _, t := range w.Tombstones(w.t) {
		if t.Consumed() {
			w.t.Errorf("tombstone %s is left, of which nothing is left", t.Name)
		}
		for _, a := range t.Spec.Artifacts {
			for _, d := range a.Digests {
				kept[a.Repository+"@"+d] = true
			}
		}
	}
	for repository, all := range w.digests {
		for _, d := range all {
			undo := w.At(w.t, repository, "nfo-undo-"+strings.TrimPrefix(d, "sha256:")[:12])
			if wanted := quarantined && kept[repository+"@"+d]; (undo != "") != wanted && (wanted || !refused) {
				w.t.Errorf("the undo tag of %s@%s is at %q; a tombstone has it: %t", repository, d, undo, kept[repository+"@"+d])
			}
		}
	}
}

package purge

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/clusterregistry/collect"
	"github.com/nfo-operator/nfo/internal/clusterregistry/serve"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

// looseWorld is a mirror world whose registry lists unreferenced digests.
type looseWorld struct {
	*mirrorWorld
	dir string
}

var loosePlatforms = []string{"linux/amd64", "linux/arm64"}

// newLooseWorld adds to a mirror world a digest that a tag pointed at before, a copy by digest
// whose Artifact was deleted, a used index by digest, and an unused one, both with a child.
func newLooseWorld(t *testing.T) *looseWorld {
	t.Helper()
	w := &looseWorld{dir: t.TempDir()}
	w.mirrorWorld = newMirrorWorldIn(t, w.dir)
	v, err := volume.Open(w.dir, volume.Options{})
	w.must(err)
	r, err := serve.New(t.Context(), serve.Options{Volume: v, Collection: collect.Options{Dwell: time.Millisecond}})
	w.must(err)
	t.Cleanup(func() { w.must(r.Close()) })
	w.App = r.Handler()
	push := func(name, reference, tag string) {
		desc, err := registrytest.PushImage(t.Context(), w.Host, w.imageOf(reference).MirrorRepository(), tag, name)
		w.must(err)
		w.digest[name] = desc.Digest
	}
	w.digest["before"] = w.digest[usedImage]
	push(usedImage+" anew", usedImage, w.imageOf(usedImage).Tag)
	w.digest[usedImage] = w.digest[usedImage+" anew"]
	moved := w.now("ran", usedImage)
	moved.Status.Digest = w.digest[usedImage].String()
	w.must(w.raw.Status().Update(t.Context(), moved))
	push("dropped", pinnedName+":1", "")
	for _, name := range []string{"used index", "unused index"} {
		index, err := registrytest.PushIndex(t.Context(), w.Host, v1alpha1.MirrorPrefix+"/"+pinnedName, "", loosePlatforms, name)
		w.must(err)
		m, err := w.client.Manifest(t.Context(), v1alpha1.MirrorPrefix+"/"+pinnedName, index.Digest)
		w.must(err)
		w.digest[name], w.digest["child of "+name] = index.Digest, m.Children[0].Digest
	}
	used := w.pinnedAt(w.digest["used index"])
	w.digest[used] = w.digest["used index"]
	w.must(w.raw.Create(t.Context(), w.artifact("ran", used, 0)))
	w.use("ran", used)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	t.Cleanup(func() { stop(); w.must(<-ended) })
	return w
}

func (w *looseWorld) purges() Report {
	w.t.Helper()
	cfg := w.config()
	cfg.WaitForCollection, cfg.poll, cfg.tell = time.Minute, time.Millisecond, time.Millisecond
	report, err := Run(w.t.Context(), cfg)
	w.must(err)
	return report
}

// unneeded returns the digests that the store's status records as unneeded.
func (w *looseWorld) unneeded() map[string]bool {
	w.t.Helper()
	var s v1alpha1.ArtifactStore
	w.must(w.get(&s, v1alpha1.MirrorName))
	all := map[string]bool{}
	for _, u := range s.Status.Unneeded {
		for name, d := range w.digest {
			if u.TagOrDigest == d.String() {
				all[name] = true
			}
		}
	}
	return all
}

// where returns an image whose repository has the digest with a name.
func where(name string) string {
	if name == "before" || name == usedImage {
		return usedImage
	}
	return pinnedName + ":1"
}

var (
	looseGone   = []string{"before", "dropped", "unused index", "child of unused index"}
	looseStayed = []string{usedImage, "used index", "child of used index"}
)

func (w *looseWorld) shows(reason string, there, notThere []string) {
	w.t.Helper()
	for _, name := range there {
		if !w.digestThere(where(name), name) {
			w.t.Errorf("%s: %s is lost", reason, name)
		}
	}
	for _, name := range notThere {
		if w.digestThere(where(name), name) {
			w.t.Errorf("%s: %s is still there", reason, name)
		}
	}
}

func TestDigestsThatNobodyNamesGoFromTheMirror(t *testing.T) {
	t.Parallel()
	w := newLooseWorld(t)
	w.purges()
	if got := w.unneeded(); len(got) != 0 {
		t.Errorf("what was pushed just now may be a copy that is being made: %v", got)
	}
	age(t, w.dir)
	w.purges()
	w.shows("when they are found", append(looseGone, looseStayed...), nil)
	if got := w.unneeded(); len(got) != 3 || !got["before"] || !got["dropped"] || !got["unused index"] {
		t.Errorf("found are %v", got)
	}
	w.later(23 * time.Hour)
	w.purges()
	w.shows("within their grace", append(looseGone, looseStayed...), nil)
	w.later(2 * time.Hour)
	report := w.purges()
	w.shows("after their grace", looseStayed, looseGone)
	if got := w.unneeded(); len(got) != 0 || report.Freed == nil || *report.Freed == 0 {
		t.Errorf("left are %v: %s", got, report.Summary())
	}
	w.mustHave(usedImage, keptImage, w.pinnedAt(w.digest["used index"]))
}

func TestADigestOfTheMirrorIsUsedOrPushedAgain(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		reason string
		again  func(w *looseWorld)
		during bool
	}{
		{"a pod names it", func(w *looseWorld) { w.use("ran", w.pinnedAt(w.digest["dropped"])) }, false},
		{"a pod names it right before it is deleted", func(w *looseWorld) { w.use("ran", w.pinnedAt(w.digest["dropped"])) }, true},
		{"it is copied again", func(w *looseWorld) {
			w.tag(v1alpha1.MirrorPrefix+"/"+pinnedName, w.digest["dropped"].String(), "dropped")
		}, false},
		{"it is copied again right before it is deleted", func(w *looseWorld) {
			w.tag(v1alpha1.MirrorPrefix+"/"+pinnedName, w.digest["dropped"].String(), "dropped")
		}, true},
		{"it gets a tag right before it is deleted", func(w *looseWorld) {
			w.tag(v1alpha1.MirrorPrefix+"/"+pinnedName, "new", "dropped")
		}, true},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			t.Parallel()
			w := newLooseWorld(t)
			age(t, w.dir)
			w.purges()
			w.later(25 * time.Hour)
			if tt.during {
				w.hooks.onAsk = func(x digest.Digest) {
					if x == w.digest["dropped"] {
						tt.again(w)
					}
				}
			} else {
				tt.again(w)
			}
			w.purges()
			w.hooks.onAsk = nil
			w.shows(tt.reason, append([]string{"dropped"}, looseStayed...), nil)
			w.purges()
			w.shows(tt.reason+", the next purge", append([]string{"dropped"}, looseStayed...), nil)
		})
	}
}

// A found index is being copied again: its children are pushed first, then the index, then
// its tag. No part of it is deleted meanwhile, whatever the registry lists. If a collection
// comes before the index, its push is refused, and the copy pushes all parts again.
func TestR2ACopyThatIsUnderWayKeepsAllParts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		reason string
		during bool // the index is pushed again right before its deletion, or else after it
	}{{"the index is pushed right before its deletion", true}, {"the index is pushed after its deletion was asked for", false}} {
		t.Run(tt.reason, func(t *testing.T) {
			t.Parallel()
			w := newLooseWorld(t)
			repository := v1alpha1.MirrorPrefix + "/" + pinnedName
			age(t, w.dir)
			w.purges()
			w.later(25 * time.Hour)
			ctx := context.WithoutCancel(t.Context())
			index, err := w.client.Manifest(ctx, repository, w.digest["unused index"])
			w.must(err)
			child, err := w.client.Manifest(ctx, repository, w.digest["child of unused index"])
			w.must(err)
			w.must(w.client.Put(ctx, repository, child.Descriptor.Digest.String(), child)) // it is young, so the registry does not list it
			push := func() {
				pushErr := w.client.Put(ctx, repository, "2", index)
				if errors.Is(pushErr, registry.ErrNotFound) && !tt.during {
					_, pushErr = registrytest.PushIndex(ctx, w.Host, repository, "2", loosePlatforms, "unused index")
				}
				w.must(pushErr)
			}
			w.hooks.onAsk = func(x digest.Digest) {
				if tt.during && x == index.Descriptor.Digest {
					push()
				}
			}
			_, err = w.run()
			w.must(err)
			if w.hooks.onAsk = nil; !tt.during {
				push()
			}
			w.purges()
			w.whole(repository, "2")
		})
	}
}

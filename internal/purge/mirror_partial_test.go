package purge

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/clusterregistry/collect"
	"github.com/nfo-operator/nfo/internal/clusterregistry/layout"
	"github.com/nfo-operator/nfo/internal/clusterregistry/serve"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
	"github.com/nfo-operator/nfo/internal/platform"
)

// serves replaces the registry by one whose mirror needs the given platforms.
func (w *looseWorld) serves(platforms platform.List) {
	w.t.Helper()
	v, err := volume.Open(w.dir, volume.Options{})
	w.must(err)
	r, err := serve.New(w.t.Context(), serve.Options{Volume: v, MirrorPlatforms: platforms, Collection: collect.Options{Dwell: time.Millisecond}})
	w.must(err)
	w.t.Cleanup(func() { w.must(r.Close()) })
	w.App = r.Handler()
	ctx, stop := context.WithCancel(w.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	w.t.Cleanup(func() { stop(); w.must(<-ended) })
}

// without removes linux/arm64 from an index, as if it had never been copied.
func (w *looseWorld) without(index string) {
	w.t.Helper()
	repository := v1alpha1.MirrorPrefix + "/" + pinnedName
	m, err := w.client.Manifest(w.t.Context(), repository, w.digest[index])
	w.must(err)
	arm := m.Children[1].Digest
	w.digest["arm64 of "+index] = arm
	for _, file := range []string{layout.RevisionPath(repository, arm), layout.BlobPath(arm)} {
		w.must(os.Remove(filepath.Join(w.dir, file)))
	}
}

// A purge deletes nothing of a used index of which only some platforms were copied, even if the
// registry does not answer for the index because more platforms were chosen since. It keeps
// what the index shares with an unneeded tag. It deletes everything of an unneeded index.
func TestR2APurgeOfAMirrorOfChosenPlatforms(t *testing.T) {
	t.Parallel()
	amd64 := platform.List{{OS: "linux", Architecture: "amd64"}}
	for name, platforms := range map[string]platform.List{"the registry answers for them": amd64, "all platforms are mirrored since": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newLooseWorld(t)
			w.without("used index")
			w.without("unused index")
			w.tag(v1alpha1.MirrorPrefix+"/"+pinnedName, "amd64-alone", "child of used index") // a tag that no Artifact references
			w.serves(platforms)
			used := w.pinnedAt(w.digest["used index"])
			if w.there(used) != (platforms != nil) {
				t.Errorf("the registry answers for an index that lacks a platform: %t", platforms == nil)
			}
			age(t, w.dir)
			w.purges()
			w.later(25 * time.Hour)
			for range 3 {
				w.purges()
				w.later(time.Hour)
				age(t, w.dir)
			}
			w.shows("of an index in use", []string{"child of used index", usedImage}, []string{"arm64 of used index"})
			if platforms != nil {
				w.shows("of one that nothing needs", nil, []string{"unused index", "child of unused index"})
			}
			w.serves(amd64)
			w.mustHave(usedImage, keptImage, used)
		})
	}
}

package purge

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
	"github.com/nfo-operator/nfo/internal/workload"
)

// I2: a requested deletion that could not be verified is withdrawn. If it cannot be withdrawn, no collection is asked for.
func TestI2WhatCannotBeVerifiedIsNotCollected(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		reason  string
		refused bool
		verdict string
	}{{"it is pushed again", false, "keep Held"}, {"the registry takes nothing either", true, "keep Lost"}} {
		t.Run(tt.reason, func(t *testing.T) {
			t.Parallel()
			w := newUntaggedWorld(t)
			w.collects()
			w.purges()
			w.clock.SetTime(now.Add(25 * time.Hour))
			var asked atomic.Bool
			w.hooks.onAsk = func(digest.Digest) { asked.Store(true) }
			w.Intercept(func(rw http.ResponseWriter, req *http.Request) bool {
				if !asked.Load() {
					return false
				}
				if strings.HasPrefix(req.URL.Path, "/v2/"+app+"/tags/") {
					registrytest.Fail(rw, http.StatusForbidden, "DENIED", "no")
					return true
				}
				return tt.refused && refuseManifests(rw, req)
			})
			before := w.asked()
			report, err := Run(t.Context(), w.config(time.Minute))
			if err == nil || w.verdict(report, "overwritten") != tt.verdict || w.asked() != before {
				t.Errorf("%s, %v, %d collections", report.Summary(), err, w.asked()-before)
			}
			w.mustHave("nobody could look", "overwritten")
			asked.Store(false)
			if !tt.refused { // the next collection must not delete it either
				_, err = Run(t.Context(), w.config(time.Minute))
				w.must(err)
				w.mustHave("it was taken back", "overwritten")
			}
		})
	}
}

func TestI2WhatCannotBeVerifiedIsNotCollectedFromTheMirror(t *testing.T) {
	t.Parallel()
	w := newLooseWorld(t)
	age(t, w.dir)
	w.purges()
	w.later(25 * time.Hour)
	var asked atomic.Bool
	w.hooks.onAsk = func(digest.Digest) { asked.Store(true) }
	cfg := w.config()
	images := cfg.Images
	cfg.Images = func(ctx context.Context, s *v1alpha1.ArtifactStore, find workload.Find) (*workload.Reading, error) {
		if asked.Load() {
			return nil, errors.New("the API server is away")
		}
		return images(ctx, s, find)
	}
	before := w.asked()
	if _, err := Run(t.Context(), cfg); err == nil || w.asked() != before {
		t.Errorf("%v, and %d collections were asked for", err, w.asked()-before)
	}
	_, err := w.client.Collect(t.Context(), client.ObjectKey{Namespace: namespace, Name: v1alpha1.MirrorName})
	w.must(err)
	w.purges()
	w.shows("nobody could look", append(looseGone, looseStayed...), nil)
}

// I3: a digest is kept that is used again after its verification and before the collection is asked for.
func TestI3WhatIsNamedBeforeTheCollectionStays(t *testing.T) {
	t.Parallel()
	w := newUntaggedWorld(t)
	w.collects()
	w.purges()
	w.clock.SetTime(now.Add(25 * time.Hour))
	cfg := w.config(time.Minute)
	api, ok := w.api.(client.WithWatch)
	if !ok {
		t.Fatal("the client does not watch")
	}
	var mu sync.Mutex // several tombstones are deleted at the same time
	cfg.Client = interceptor.NewClient(api, interceptor.Funcs{Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
		mu.Lock()
		defer mu.Unlock()
		var m v1alpha1.ArtifactManifest // when its tombstone is deleted, everything is verified
		w.must(w.raw.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "other"}, &m))
		m.Status.Artifacts[1].Digest = w.digest["overwritten"].String()
		w.must(w.raw.Update(ctx, &m))
		return c.Delete(ctx, o, opts...)
	}})
	report, err := Run(t.Context(), cfg)
	w.must(err)
	if got := w.verdict(report, "overwritten"); got != "keep Held" {
		t.Errorf("the verdict is %q", got)
	}
	w.purges()
	w.mustHave("it is recorded", "overwritten")
}

func TestI3WhatIsUsedBeforeTheCollectionStaysInTheMirror(t *testing.T) {
	t.Parallel()
	w := newLooseWorld(t)
	age(t, w.dir)
	w.purges()
	w.later(25 * time.Hour)
	var asked, reads atomic.Int64
	w.hooks.onAsk = func(digest.Digest) { asked.Store(1) }
	w.onRead = func(int) {
		if asked.Load() > 0 && reads.Add(1) == 2 { // the first reading verifies
			w.use("ran", w.pinnedAt(w.digest["dropped"]))
		}
	}
	w.purges()
	w.shows("it is used", append([]string{"dropped"}, looseStayed...), []string{"before", "unused index"})
}

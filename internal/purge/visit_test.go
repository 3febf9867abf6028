package purge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

// spread adds manifests with a digest in each of several repositories, and returns the repositories.
func (w *world) spread(manifests, artifacts int) (repositories []string) {
	w.t.Helper()
	for i := range manifests {
		var entries []func(*v1alpha1.Tombstone)
		for j := range artifacts {
			repository := fmt.Sprintf("acme/m%d/image%d", i, j)
			desc, err := registrytest.PushImage(w.t.Context(), w.Host, repository, "", repository)
			w.must(err)
			entries = append(entries, in(repository, v1alpha1.TombstoneUntagged, 50, "1.0.0", desc.Digest.String()))
			repositories = append(repositories, repository)
			w.digest[repository] = desc.Digest
		}
		name := fmt.Sprintf("m%d", i)
		t := w.tombstone(name, append(entries, func(t *v1alpha1.Tombstone) { t.Spec.Manifest.Name = name })...)
		status := t.Status
		w.must(w.raw.Create(w.t.Context(), t))
		t.Status = status
		w.must(w.raw.Status().Update(w.t.Context(), t))
	}
	return repositories
}

// busy counts running requests, delays each, and records the highest count.
type busy struct {
	mu        sync.Mutex
	now, most int
}

func (b *busy) hold() func(http.ResponseWriter, *http.Request) bool {
	return func(http.ResponseWriter, *http.Request) bool {
		b.mu.Lock()
		b.now++
		b.most = max(b.most, b.now)
		b.mu.Unlock()
		timer := time.NewTimer(10 * time.Millisecond)
		<-timer.C
		b.mu.Lock()
		b.now--
		b.mu.Unlock()
		return false
	}
}

func TestConcurrencyIsUsedOverAllRepositories(t *testing.T) {
	t.Parallel()
	const requests = 4
	w := newWorld(t, func(s *v1alpha1.ArtifactStore) { s.Spec.Purge.Concurrency = requests })
	repositories := w.spread(6, 3)
	deleting, all := &busy{}, &busy{}
	count, countAll := deleting.hold(), all.hold()
	w.Intercept(func(rw http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodDelete {
			count(rw, r)
		}
		return countAll(rw, r)
	})
	cfg := w.config()
	cfg.Open = func(context.Context, *v1alpha1.ArtifactStore) (Registry, error) { return w.client, nil } // without the gate
	report, err := Run(t.Context(), cfg)
	w.must(err)
	w.Intercept(nil)
	if report.Deleted != len(repositories)+6 {
		t.Errorf("the purge says %s", report.Summary())
	}
	for _, repository := range repositories {
		if _, err := w.client.Resolve(t.Context(), repository, w.digest[repository].String()); !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("%s: %v", repository, err)
		}
	}
	if deleting.most < 2 || all.most > requests {
		t.Errorf("%d deletions in repositories of one digest and %d requests ran at the same time, want some and at most %d", deleting.most, all.most, requests)
	}
}

// A restore waits for claimed entries. The test finds a sweep that claims entries long before it deletes their digests.
func TestI13OnlyWhatIsSweptIsClaimed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	const most = 4 * 8 // the first wave has 4 for each of a store's default of 8 requests
	w.spread(most, 2)
	claimed := -1
	w.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodDelete {
			return false
		}
		w.hooks.mu.Lock()
		defer w.hooks.mu.Unlock()
		if claimed < 0 {
			var all v1alpha1.TombstoneList
			if err := w.raw.List(r.Context(), &all); err != nil {
				t.Error(err)
			}
			claimed = 0
			for i := range all.Items {
				for _, e := range all.Items[i].Status.Artifacts {
					if e.State == v1alpha1.TombstoneSweeping {
						claimed++
					}
				}
			}
		}
		return false
	})
	_, err := w.run()
	w.must(err)
	if claimed < 2 || claimed > most {
		t.Errorf("%d entries were claimed when the first deletion began, want at most %d", claimed, most)
	}
}

func TestI2OneUnreadableRepositoryOfMany(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	repositories := w.spread(2, 4)
	planned := map[string]bool{}
	w.hooks.onTags = func(repository string) { planned[repository] = true }
	w.Intercept(func(rw http.ResponseWriter, r *http.Request) bool {
		w.hooks.mu.Lock()
		second := planned[repo] && strings.HasPrefix(r.URL.Path, "/v2/"+repositories[3]+"/tags/")
		w.hooks.mu.Unlock()
		if second {
			rw.WriteHeader(http.StatusForbidden)
		}
		return second
	})
	report, err := w.run()
	if !errors.Is(err, registry.ErrDenied) {
		t.Errorf("the error is %v", err)
	}
	w.Intercept(nil)
	for i, repository := range repositories {
		_, err := w.client.Resolve(t.Context(), repository, w.digest[repository].String())
		if kept := err == nil; kept != (i == 3) {
			t.Errorf("%s: %v; %s", repository, err, report.Summary())
		}
	}
}

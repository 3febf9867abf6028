package serve

import (
	"errors"
	"fmt"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/nfo-operator/nfo/internal/clusterregistry/layout"
	"github.com/nfo-operator/nfo/internal/clusterregistry/storage"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
)

// Guard defines when a volume is too full for uploads.
type Guard struct {
	// HighWater is the maximum percentage of the bytes, and of the files, that may be in use. Default: 95.
	HighWater float64
	// MinFree is the minimum number of free bytes. Default: 1 GiB. At most a twentieth of the volume is required.
	MinFree int64
}

func (g Guard) withDefaults() Guard {
	if g.HighWater == 0 {
		g.HighWater = 95
	}
	if g.MinFree == 0 {
		g.MinFree = 1 << 30
	}
	return g
}

// refuses says why no upload may begin or continue, or is empty.
func (g Guard) refuses(u volume.Usage) string {
	if u.Files > 0 && 100*float64(u.Files-u.FreeFiles)/float64(u.Files) > g.HighWater {
		return fmt.Sprintf("the registry's volume has room for %d more files, of %d: uploads stop above %g %%. "+
			"Delete what is not needed, purge and collect, or enlarge the volume; pulls and deletes go on", u.FreeFiles, u.Files, g.HighWater)
	}
	least := min(g.MinFree, u.Size/20)
	percent := 100 * float64(u.Used()) / float64(max(u.Size, 1))
	if percent <= g.HighWater && u.Free >= least {
		return ""
	}
	return fmt.Sprintf("the registry's volume is %.1f %% full, with %d MiB free: uploads stop above %g %% or below %d MiB. "+
		"Delete what is not needed, purge and collect, or enlarge the volume; pulls and deletes go on",
		percent, u.Free>>20, g.HighWater, least>>20)
}

// usage reads the usage of the volume at most once a second.
type usage struct {
	volume *volume.Volume
	mu     sync.Mutex
	asked  time.Time
	last   volume.Usage
	err    error
}

func (u *usage) get(now time.Time) (volume.Usage, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.asked.IsZero() || now.Sub(u.asked) >= time.Second {
		u.last, u.err = u.volume.Usage()
		u.asked = now
	}
	return u.last, u.err
}

// guarded answers uploads with 507 while the volume is too full, including the upload that fills the volume.
func (r *Registry) guarded(next http.Handler) http.Handler {
	u := &usage{volume: r.o.Volume}
	tidy := rate.Sometimes{Interval: 10 * time.Minute}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if now, err := u.get(time.Now()); err == nil && uploads(req) {
			if why := r.o.Guard.refuses(now); why != "" {
				r.counters.full.Inc()
				fail(w, http.StatusInsufficientStorage, "DENIED", why)
				return
			}
		}
		ctx, full := storage.NoteFull(req.Context())
		ctx, limit := r.driver.Limit(ctx, largeOf(ctx))
		defer limit.End()
		noted := &notedWriter{ResponseWriter: w, full: full, limit: limit}
		if limit.Room(ctx, manifestSize(req)) != nil {
			noted.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		next.ServeHTTP(noted, req.WithContext(ctx))
		if errors.Is(limit.Refused(), storage.ErrTooManyUploads) {
			tidy.Do(r.tidy)
		}
	})
}

// tidy requests a collection, which deletes abandoned uploads.
func (r *Registry) tidy() {
	if _, err := r.collector.ask(request{}); err != nil {
		r.o.Log.Error("could not ask for a collection, which deletes old uploads", "error", err)
	}
}

// uploads reports whether a request sends a part of a blob or begins an upload.
func uploads(req *http.Request) bool {
	switch req.Method {
	case http.MethodPost, http.MethodPatch, http.MethodPut:
		return strings.Contains(req.URL.Path, "/blobs/uploads/")
	}
	return false
}

// manifestSize returns the size of the manifest that a request sends, or the
// maximum size if the client does not state it. It is 0 for other requests.
func manifestSize(req *http.Request) int64 {
	switch {
	case req.Method != http.MethodPut || path.Base(path.Dir(req.URL.Path)) != "manifests": // also part of repository names
		return 0
	case req.ContentLength < 0:
		return layout.MaxManifest
	}
	return req.ContentLength
}

// notedWriter replaces the 500 for a push that did not fit on the volume by a 507.
// If the storage has refused the request (storage.Limit.Refused), it replaces
// every error by the reason, including an error that would call a manifest absent.
type notedWriter struct {
	http.ResponseWriter
	full  func() bool
	limit *storage.Limit
	// begun is set once the answer has begun, answered if this writer has written its own answer.
	begun, answered bool
}

func (w *notedWriter) WriteHeader(status int) {
	if w.begun { // Distribution answers twice if the body is broken.
		return
	}
	w.begun = true
	// Distribution answers 204 even if it could not cancel the upload.
	if why := w.limit.Refused(); (status >= http.StatusBadRequest || status == http.StatusNoContent) && why != nil {
		w.answered = true
		refuse(w.ResponseWriter, why)
		return
	}
	if status == http.StatusInternalServerError && w.full() {
		w.answered = true
		fail(w.ResponseWriter, http.StatusInsufficientStorage, "DENIED", "the registry's volume has no room for this: "+
			"delete what is not needed, purge and collect, or enlarge the volume; pulls and deletes go on")
		return
	}
	w.ResponseWriter.WriteHeader(status)
}

// refuse answers a request that the storage has refused.
func refuse(w http.ResponseWriter, why error) {
	switch {
	case errors.Is(why, storage.ErrBusy):
		w.Header().Set("Retry-After", "5")
		fail(w, http.StatusServiceUnavailable, "TOOMANYREQUESTS", why.Error())
	case errors.Is(why, storage.ErrTooManyUploads):
		fail(w, http.StatusTooManyRequests, "TOOMANYREQUESTS", why.Error())
	default:
		fail(w, http.StatusBadRequest, "MANIFEST_INVALID", why.Error())
	}
}

func (w *notedWriter) Write(p []byte) (int, error) {
	if w.answered {
		return len(p), nil
	}
	w.begun = true
	return w.ResponseWriter.Write(p)
}

// Unwrap implements the interface that http.ResponseController uses.
func (w *notedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

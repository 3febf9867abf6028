package purge

import (
	"context"
	"errors"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// The registry was opened for the store as it was before the lease. One that is made anew meanwhile may be elsewhere.
func TestAStoreThatIsMadeAnewBeforeTheLeaseIsLeft(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	cfg := w.config()
	open := cfg.Open
	cfg.Open = func(ctx context.Context, s *v1alpha1.ArtifactStore) (Registry, error) {
		anew := s.DeepCopy()
		w.must(w.api.Delete(ctx, s.DeepCopy()))
		anew.UID, anew.ResourceVersion = "anew", ""
		w.must(w.api.Create(ctx, anew))
		anew.Status = s.Status
		w.must(w.api.Status().Update(ctx, anew))
		return open(ctx, s)
	}
	if report, err := Run(t.Context(), cfg); !errors.Is(err, ErrRefused) || report.Deleted > 0 {
		t.Errorf("deleted %d digests: %v, want %v", report.Deleted, err, ErrRefused)
	}
	if !w.has("image") {
		t.Error("a digest is lost")
	}
}

// What the manifests of a store keep is unknown once the store has gone: they may name one that was made anew.
func TestI2AStoreThatGoesWhileItIsPurged(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	gone := false
	w.hooks.onDelete = func(string, digest.Digest) {
		if !gone {
			gone = true
			s := &v1alpha1.ArtifactStore{}
			s.Namespace, s.Name = namespace, "acme"
			if err := w.raw.Delete(context.WithoutCancel(t.Context()), s); err != nil {
				t.Error(err)
			}
		}
	}
	if _, err := w.run(); !errors.Is(err, ErrPutBack) || !gone {
		t.Errorf("the error is %v, the store has gone: %t; want %v", err, gone, ErrPutBack)
	}
	if !w.has("image") {
		t.Error("a digest is lost")
	}
}

package purge

import (
	"context"
	"errors"
	"testing"

	"github.com/opencontainers/go-digest"
	"sigs.k8s.io/controller-runtime/pkg/client"

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

func TestI8ADryRunThatIsAskedForBeforeTheLease(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	cfg := w.config()
	open := cfg.Open
	cfg.Open = func(ctx context.Context, s *v1alpha1.ArtifactStore) (Registry, error) {
		now := s.DeepCopy()
		now.Spec.Purge.DryRun = true
		w.must(w.api.Update(ctx, now))
		return open(ctx, s)
	}
	if report, err := Run(t.Context(), cfg); !errors.Is(err, ErrRefused) || report.Deleted > 0 || !w.has("image") {
		t.Errorf("deleted %d digests: %v, want %v", report.Deleted, err, ErrRefused)
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

// A tombstone that was deleted and recorded anew while its digests were deleted is another one, with a grace of its own.
func TestI4ATombstoneThatIsMadeAnewIsNotSettled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	ctx, made := context.WithoutCancel(t.Context()), false
	w.hooks.onDelete = func(string, digest.Digest) {
		if made {
			return
		}
		made = true
		was := &v1alpha1.Tombstone{}
		if err := errors.Join(w.raw.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "t1"}, was), w.raw.Delete(ctx, was.DeepCopy())); err != nil {
			t.Error(err)
		}
		anew := w.tombstone("t1", in(repo, v1alpha1.TombstoneUntagged, 0, "1.0.0", w.digest["image"].String()))
		anew.UID = "anew"
		status := anew.Status
		if err := w.raw.Create(ctx, anew); err != nil {
			t.Error(err)
		}
		anew.Status = status
		if err := w.raw.Status().Update(ctx, anew); err != nil {
			t.Error(err)
		}
	}
	_, _ = w.run() // what is needed again was put back, which is a failure
	now := &v1alpha1.Tombstone{}
	w.must(w.get(now, "t1"))
	if state, _ := w.state("t1", repo, "1.0.0"); !made || now.UID != "anew" || state != v1alpha1.TombstoneUntagged {
		t.Errorf("the tombstone %s is %s, want that of anew Untagged", now.UID, state)
	}
	if !w.has("image") {
		t.Error("a digest is lost that the new tombstone keeps")
	}
}

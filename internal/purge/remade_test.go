package purge

import (
	"context"
	"errors"
	"testing"

	"github.com/opencontainers/go-digest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// The registry was opened for the store as it was before the Lease.
// A store that is recreated meanwhile may have another registry.
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

// Once the store is deleted, it is unknown what its manifests keep: they may reference a store that was recreated.
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

// A tombstone that is deleted and recorded anew while its digests are deleted is another tombstone, with a new grace period.
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
	_, _ = w.run() // ErrPutBack, because something needed was restored
	now := &v1alpha1.Tombstone{}
	w.must(w.get(now, "t1"))
	if state, _ := w.state("t1", repo, "1.0.0"); !made || now.UID != "anew" || state != v1alpha1.TombstoneUntagged {
		t.Errorf("the tombstone %s is %s, want that of anew Untagged", now.UID, state)
	}
	if !w.has("image") {
		t.Error("a digest is lost that the new tombstone keeps")
	}
}

package purge

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/purge/usage"
	"github.com/nfo-operator/nfo/internal/registry"
)

const (
	// recordTimeout is how long a purge that was asked to stop may still write what it has done.
	recordTimeout = 10 * time.Second
	// recordTries is how often the status is written at most if others change the store meanwhile.
	recordTries = 5
	// maxMessage is the longest message in a status, in bytes, as in the API.
	maxMessage = 1024
)

// record writes the run, whether the registry can delete, and what noted sets to the store's
// status. It writes nothing else of the store. It writes also if the purge was asked to stop.
func (cfg Config) record(ctx context.Context, store *v1alpha1.ArtifactStore, r Report, learnt v1alpha1.Support, noted func(*v1alpha1.ArtifactStoreStatus)) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	was := store.DeepCopy()
	store.Status.LastPurge = r.run(cfg.Now())
	noted(&store.Status)
	if r.Usage != nil || !usage.Measures(store) {
		store.Status.Usage = r.Usage
	}
	store.Status.DeletedTotal += int64(r.Deleted)
	if r.Outcome == v1alpha1.PurgeSucceeded || r.Outcome == v1alpha1.PurgeBelowThreshold {
		store.Status.LastSuccessTime = &store.Status.LastPurge.CompletionTime
	}
	if learnt != "" {
		store.Status.Capabilities.Delete = learnt
	}
	if err := cfg.write(ctx, store, was); err != nil {
		return fmt.Errorf("recording the purge: %w", err)
	}
	return nil
}

// write stores what the run changed in a store's status. It writes nothing if the store was
// deleted, or recreated with the same name, because the new store may have another registry.
func (cfg Config) write(ctx context.Context, store, was *v1alpha1.ArtifactStore) error {
	for tries := 1; ; tries++ {
		err := cfg.Client.Status().Patch(ctx, store, client.MergeFromWithOptions(was, client.MergeFromWithOptimisticLock{}))
		if !apierrors.IsConflict(err) || tries == recordTries {
			return client.IgnoreNotFound(err)
		}
		var now v1alpha1.ArtifactStoreList // the purge account may list stores, but not get them
		if err := cfg.Client.List(ctx, &now, client.InNamespace(store.Namespace), client.MatchingFields{"metadata.name": store.Name}); err != nil {
			return err
		}
		if len(now.Items) != 1 || now.Items[0].UID != store.UID {
			return nil
		}
		was.ResourceVersion = now.Items[0].ResourceVersion // the patch contains only this purge's changes
	}
}

// learnt returns what a run shows about the registry's support for deletion; "" for
// nothing. err is the error of the run, and deleted is how many digests it deleted.
func learnt(err error, deleted int) v1alpha1.Support {
	switch {
	case errors.Is(err, registry.ErrUnsupported):
		return v1alpha1.Unsupported
	case deleted > 0:
		return v1alpha1.Supported
	}
	return ""
}

// recordCollection adds what is known after a collection to the record of the
// purge that asked for it. It writes also if the purge was asked to stop.
func (cfg Config) recordCollection(ctx context.Context, store *v1alpha1.ArtifactStore, r Report) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	was := store.DeepCopy()
	run := *store.Status.LastPurge
	run.FreedBytes, run.Message = r.Freed, v1alpha1.Clip(r.Message, maxMessage)
	store.Status.LastPurge = &run
	if r.Usage != nil {
		store.Status.Usage = r.Usage
	}
	if err := cfg.write(ctx, store, was); err != nil {
		return fmt.Errorf("recording what the registry's collection freed: %w", err)
	}
	return nil
}

package store

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/controller/pass"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/tombstone"
)

// storeSeen is everything that a pass over a store knows.
type storeSeen struct {
	store   *v1alpha1.ArtifactStore
	invalid error                   // why the URL cannot be used
	refused error                   // why the administrator's list denies the namespace this place
	winner  *v1alpha1.ArtifactStore // the store with an overlapping URL that takes precedence
	shared  *sharing                // a store that may be in the same registry under another name
	ping    Ping
	holders []reference.Holder
	// late are the holders read live, if the store is being deleted
	// and the cache has no holder. doubt is why they cannot be known.
	late        []reference.Holder
	doubt       error
	tombstones  int32
	stale       []*v1alpha1.Tombstone // whose status does not show yet that their grace period was ended by annotation, or that it continues
	purgerImage string
	runs        purgeRuns // those of the purge, unless the store is inert or being deleted
}

// observe reads everything that the pass needs. Of the registry it only asks a sign of life.
func (r *Reconciler) observe(ctx context.Context, s *v1alpha1.ArtifactStore) (storeSeen, error) {
	seen := storeSeen{store: s, purgerImage: r.Purger.Image}
	var err error
	if seen.holders, err = r.Holders.Cached(ctx, s); err != nil {
		return seen, fmt.Errorf("finding what holds %s: %w", s.Name, err)
	}
	here, err := s.Location()
	if err != nil {
		seen.invalid = err
	}
	_ = r.Cluster.Describe(s) // opening the registry reports the same error
	if !s.DeletionTimestamp.IsZero() {
		err = nil
		if len(seen.holders) == 0 {
			seen.late, seen.doubt, err = pass.LiveHolders(ctx, r.Holders, s)
		}
		return seen, err
	}
	var all v1alpha1.ArtifactStoreList
	if err := r.List(ctx, &all, client.UnsafeDisableDeepCopy); err != nil { // they are only read
		return seen, fmt.Errorf("listing stores: %w", err)
	}
	if seen.invalid == nil {
		seen.refused = r.Places.Refusal(s.Namespace, here)
	}
	seen.winner = r.Places.Winner(s, all.Items)
	if seen.tombstones, seen.stale, err = r.tombstonesAt(ctx, s.Namespace, here); err != nil {
		return seen, err
	}
	if seen.invalid != nil || seen.refused != nil || (seen.winner != nil && seen.winner.Settled()) {
		return seen, nil
	}
	// This is also done if the winner was never Ready: such a store keeps no other from becoming Ready.
	if seen.ping, err = r.ping(ctx, s); err != nil {
		return seen, err
	}
	s.Status.Addresses = remembered(s.Status.Addresses, seen.ping.addresses)
	if seen.shared, err = r.sharing(ctx, s, r.Places.Doubts(s, all.Items)); err != nil || seen.winner != nil {
		return seen, err
	}
	seen.runs, err = r.runs(ctx, s)
	return seen, err
}

// tombstonesAt counts the tombstones of a place. It returns copies of some
// whose status does not agree with the annotation that ends their grace period.
func (r *Reconciler) tombstonesAt(ctx context.Context, namespace string, here v1alpha1.RegistryLocation) (n int32, stale []*v1alpha1.Tombstone, err error) {
	if here.Host == "" {
		return 0, nil, nil
	}
	var graves v1alpha1.TombstoneList
	byHost := client.MatchingFields{tombstone.ByHost: here.RegistryName()}
	if err := r.List(ctx, &graves, client.InNamespace(namespace), byHost, client.UnsafeDisableDeepCopy); err != nil {
		return 0, nil, fmt.Errorf("listing tombstones: %w", err)
	}
	now := metav1.NewTime(r.Now())
	for i := range graves.Items {
		if at, err := v1alpha1.ParseRegistryURL(graves.Items[i].Spec.RegistryURL); err != nil || !at.Same(here) {
			continue
		}
		n++
		if t := &graves.Items[i]; len(stale) < maxStale && t.DeletionTimestamp.IsZero() && t.ExpiryStale(now) {
			stale = append(stale, t.DeepCopy())
		}
	}
	return n, stale, nil
}

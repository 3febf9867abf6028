package store

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/backend"
	"github.com/nfo-operator/nfo/internal/controller/pass"
	"github.com/nfo-operator/nfo/internal/journal"
	"github.com/nfo-operator/nfo/internal/lane"
	"github.com/nfo-operator/nfo/internal/place"
	"github.com/nfo-operator/nfo/internal/purge/cronjob"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/registry"
)

// How often a store's registry is asked for a sign of life.
const (
	pingWell  = 5 * time.Minute
	pingDown  = 15 * time.Second
	pingLimit = 10 * time.Second // the longest time that one request takes
	// pingAgain is how soon a new store asks for a place again, because a person waits for its first answer.
	pingAgain = 50 * time.Millisecond
)

// countsSettle is how long a change of a store's counts of objects waits
// to be written, because thousands of objects may come or go at once.
const countsSettle = 2 * time.Second

// Reconciler reconciles ArtifactStores.
type Reconciler struct {
	client.Client
	Live       client.Reader
	Holders    *reference.Finder
	Registries *backend.Registries
	Events     events.EventRecorder
	// Released remembers which stores have been released.
	Released *pass.Released
	Journal  *journal.Journal
	Clock    clock.PassiveClock
	Now      func() time.Time // the API server's time
	Purger   cronjob.Settings
	Places   place.Rules
	Cluster  registry.ClusterRegistry
	Lookup   func(ctx context.Context, host string) ([]netip.Addr, error)
	statuses pass.Statuses
	Lane     *lane.Lane

	mu    sync.Mutex
	Pings map[types.UID]Ping
}

// Ping is the result of the last request to a registry, and when and for which generation of its store it was made.
type Ping struct {
	at         time.Time
	generation int64
	now        string // see v1alpha1.ReconcileNow
	err        error
	// addresses are those that the registry's host resolved to; nil if they are unknown or the registry did not answer.
	addresses []string
}

// Reconcile runs one pass over one store.
func (r *Reconciler) Reconcile(ctx context.Context, s *v1alpha1.ArtifactStore) (ctrl.Result, error) {
	if err := pass.Protect(ctx, r.Client, s); err != nil {
		return pass.Finish(ctrl.Result{}, err)
	}
	before := s.DeepCopy()
	seen, err := r.observe(ctx, s)
	if err != nil {
		return pass.Finish(ctrl.Result{}, err)
	}
	verdict := decideStore(seen)
	actErr := r.act(ctx, s, seen, verdict)
	verdict.after(s, actErr)
	settle, err := r.report(ctx, s, before, verdict, actErr)
	if err != nil {
		return pass.Finish(ctrl.Result{}, err)
	}
	if verdict.letGo {
		return pass.Finish(ctrl.Result{}, r.Released.Unprotect(ctx, r.Client, s))
	}
	return pass.Finish(ctrl.Result{RequeueAfter: pass.Sooner(settle, verdict.again)}, actErr)
}

// report writes the status if the pass changed it, and then records events for a purge that has
// ended and for transitions. It keeps what others write to the status: the capabilities, unless
// a person asked to learn them again, and the results of purges. settle, when not 0, is how long
// a change of the store's holders, or of its counts, stays unwritten; the next pass writes it.
func (r *Reconciler) report(ctx context.Context, s, before *v1alpha1.ArtifactStore, v storeVerdict, actErr error) (settle time.Duration, err error) {
	s.Status.Manifests, s.Status.Tombstones, s.Status.ObservedGeneration = &v.manifests, &v.tombstones, s.Generation
	if v1alpha1.ReconcilesNow(v.now, s.Status.LastReconcileNow) {
		s.Status.Capabilities.TagDelete = "" // the next release learns it again
	}
	s.Status.LastReconcileNow = v.now
	switch {
	case v.refused:
		s.Status.FirstReadyTime, s.Status.Addresses = nil, nil
	case v.firstReady && s.Status.FirstReadyTime == nil:
		s.Status.FirstReadyTime = new(metav1.NewTime(r.Now()))
	}
	v.conditions.Apply(&s.Status.Conditions, s.Generation)
	if equality.Semantic.DeepEqual(before.Status, s.Status) {
		return 0, r.statuses.Unchanged(before)
	}
	if actErr == nil && onlyCounts(before.Status, s.Status) { // after an error, the pass may be repeated much later
		if settle = r.statuses.Settle(s, r.Clock.Now(), countsSettle); settle > 0 {
			return settle, r.statuses.Current(before)
		}
	}
	if err := r.statuses.Write(ctx, r.Client, s); err != nil {
		return 0, err
	}
	reported := s.Status.Conditions
	if e := purgeToTell(before.Status.Conditions, s); e != nil {
		pass.Tell(r.Events, s, e.severity, e.reason, pass.Actions[v1alpha1.ConditionPurgeHealthy], e.note)
		r.Journal.Purged(ctx, client.ObjectKeyFromObject(s), s.Status.LastPurge)
		reported = slices.DeleteFunc(slices.Clone(reported), func(c metav1.Condition) bool {
			return c.Type == v1alpha1.ConditionPurgeHealthy && c.Reason == e.reason
		})
	}
	pass.Announce(r.Events, s, before.Status.Conditions, reported)
	return 0, nil
}

// onlyCounts reports whether two statuses of a store differ at most
// in the counts of its objects and in the messages that name them.
func onlyCounts(before, after v1alpha1.ArtifactStoreStatus) bool {
	same := pass.SameState(before.Conditions, after.Conditions) && before.Manifests != nil && before.Tombstones != nil
	after.Conditions, after.Manifests, after.Tombstones = before.Conditions, before.Manifests, before.Tombstones
	return same && equality.Semantic.DeepEqual(before, after)
}

// ping asks the registry for a sign of life, at most every pingWell, or every pingDown if it did not answer.
// The error is a lane.BusyError if the registry has not been asked before and no place in the lane is free.
func (r *Reconciler) ping(ctx context.Context, s *v1alpha1.ArtifactStore) (Ping, error) {
	r.mu.Lock()
	last, asked := r.Pings[s.UID]
	r.mu.Unlock()
	asked = asked && last.generation == s.Generation && !v1alpha1.ReconcilesNow(v1alpha1.ReconcileNow(s), last.now)
	if asked && r.Clock.Since(last.at) < last.lasts() {
		return last, nil
	}
	leave, _ := r.Lane.Enter(s, s.UID)
	switch {
	case leave == nil && asked:
		return last, nil
	case leave == nil:
		return last, lane.BusyError(pingAgain)
	}
	defer leave()
	now := Ping{at: r.Clock.Now(), generation: s.Generation, now: v1alpha1.ReconcileNow(s)}
	reg, err := r.Registries.Open(ctx, s)
	if errors.Is(err, reference.ErrSuperseded) {
		return Ping{}, err
	}
	if now.err = err; err == nil {
		limited, cancel := context.WithTimeout(ctx, pingLimit)
		defer cancel()
		if now.err = reg.Ping(limited); now.err == nil {
			now.addresses = r.addresses(ctx, reg.Location())
		}
	}
	if now.err != nil {
		now.err = fmt.Errorf("connecting to the registry: %w", now.err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Pings[s.UID] = now
	return now, nil
}

func (p Ping) lasts() time.Duration {
	if p.err != nil {
		return pingDown
	}
	return pingWell
}

// Forget drops everything remembered of a store that no longer exists.
func (r *Reconciler) Forget(uid types.UID) {
	r.Registries.Forget(uid)
	r.statuses.Forget(uid)
	r.Holders.Forget(uid)
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.Pings, uid)
}

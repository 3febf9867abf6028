package controller

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
	"github.com/nfo-operator/nfo/internal/place"
	"github.com/nfo-operator/nfo/internal/purge"
	"github.com/nfo-operator/nfo/internal/reference"
)

// How often a store's registry is asked whether it answers.
const (
	pingWell  = 5 * time.Minute
	pingDown  = 15 * time.Second
	pingLimit = 10 * time.Second // the most that one such question takes
)

// StoreReconciler reconciles ArtifactStores.
type StoreReconciler struct {
	client.Client
	live       client.Reader
	holders    *reference.Finder
	registries *Registries
	events     events.EventRecorder
	clock      clock.PassiveClock
	now        func() time.Time // the API server's
	purger     purge.Settings
	places     place.Rules
	lookup     func(ctx context.Context, host string) ([]netip.Addr, error)
	statuses   statuses
	lane       *lane

	mu    sync.Mutex
	pings map[types.UID]ping
}

// ping is when a registry was asked last, about which generation of its store, and what it said.
type ping struct {
	at         time.Time
	generation int64
	err        error
	// addresses are those that the registry's host resolved to; nil if the registry did not answer or they are
	// unknown.
	addresses []string
}

// Reconcile runs one pass over one store.
func (r *StoreReconciler) Reconcile(ctx context.Context, s *v1alpha1.ArtifactStore) (ctrl.Result, error) {
	if err := hold(ctx, r.Client, s); err != nil {
		return finish(ctrl.Result{}, err)
	}
	before := s.DeepCopy()
	seen, err := r.observe(ctx, s)
	if err != nil {
		return finish(ctrl.Result{}, err)
	}
	verdict := decideStore(seen)
	actErr := r.act(ctx, s, verdict)
	verdict.after(s, actErr)
	if err := r.report(ctx, s, before, verdict); err != nil {
		return finish(ctrl.Result{}, err)
	}
	if verdict.letGo {
		r.forget(s.UID)
		r.statuses.forget(s.UID)
		r.holders.Forget(s.UID)
		return finish(ctrl.Result{}, release(ctx, r.Client, s))
	}
	return finish(ctrl.Result{RequeueAfter: verdict.again}, actErr)
}

// report writes the status if the pass changed it, and then tells of a purge that has ended and of
// transitions. What others write to it, the capabilities and the purges' results, is left as read.
func (r *StoreReconciler) report(ctx context.Context, s, before *v1alpha1.ArtifactStore, v storeVerdict) error {
	s.Status.Manifests, s.Status.Tombstones = &v.manifests, &v.tombstones
	switch {
	case v.refused:
		s.Status.FirstReadyTime, s.Status.Addresses = nil, nil
	case v.firstReady && s.Status.FirstReadyTime == nil:
		s.Status.FirstReadyTime = new(metav1.NewTime(r.now()))
	}
	v.conditions.apply(&s.Status.Conditions, s.Generation)
	if equality.Semantic.DeepEqual(before.Status, s.Status) {
		return r.statuses.current(before)
	}
	if err := r.statuses.write(ctx, r.Client, s); err != nil {
		return err
	}
	told := s.Status.Conditions
	if e := purgeToTell(before.Status.Conditions, s); e != nil {
		tell(r.events, s, e.severity, e.reason, actions[v1alpha1.ConditionPurgeHealthy], e.note)
		told = slices.DeleteFunc(slices.Clone(told), func(c metav1.Condition) bool {
			return c.Type == v1alpha1.ConditionPurgeHealthy && c.Reason == e.reason
		})
	}
	announce(r.events, s, before.Status.Conditions, told)
	return nil
}

// ping asks the registry whether it answers, at most as often as pingWell and pingDown say. The error is
// errBusy if the registry was never asked and no place in the lane is free.
func (r *StoreReconciler) ping(ctx context.Context, s *v1alpha1.ArtifactStore) (ping, error) {
	r.mu.Lock()
	last, asked := r.pings[s.UID]
	r.mu.Unlock()
	asked = asked && last.generation == s.Generation
	if asked && r.clock.Since(last.at) < last.lasts() {
		return last, nil
	}
	leave, _ := r.lane.enter(s, s.UID)
	switch {
	case leave == nil && asked:
		return last, nil
	case leave == nil:
		return last, errBusy
	}
	defer leave()
	now := ping{at: r.clock.Now(), generation: s.Generation}
	reg, err := r.registries.Open(ctx, s)
	if errors.Is(err, errSuperseded) {
		return ping{}, err
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
	r.pings[s.UID] = now
	return now, nil
}

func (p ping) lasts() time.Duration {
	if p.err != nil {
		return pingDown
	}
	return pingWell
}

func (r *StoreReconciler) forget(uid types.UID) {
	r.registries.Forget(uid)
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.pings, uid)
}

package controller

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

const (
	// turnRetry is how long a pass that was not admitted waits, before a jitter of the same
	// length. turnQueue is how much longer it waits for each other waiting pass of its namespace.
	turnRetry = 100 * time.Millisecond
	turnQueue = 2 * time.Millisecond
)

// turns runs at most a number of passes over objects of one namespace at once, and only one if
// the objects are large, so that a tenant with many or large objects leaves workers and the
// API server to others. Nothing blocks: a pass that is not admitted is requeued, which also
// resets its backoff, at the expense of its own namespace only. It is safe for concurrent use.
type turns struct {
	of    reconcile.Reconciler
	most  int
	large func(namespace string) bool

	mu      sync.Mutex
	inside  map[string]int
	waiting map[string]map[reconcile.Request]bool
}

func newTurns(of reconcile.Reconciler, most int, large func(namespace string) bool) *turns {
	return &turns{of: of, most: most, large: large, inside: map[string]int{}, waiting: map[string]map[reconcile.Request]bool{}}
}

// Reconcile runs a pass if its namespace has a free place.
func (t *turns) Reconcile(ctx context.Context, key reconcile.Request) (ctrl.Result, error) {
	if wait := t.enter(key); wait > 0 {
		return ctrl.Result{RequeueAfter: wait}, nil
	}
	defer t.leave(key.Namespace)
	return t.of.Reconcile(ctx, key)
}

// enter takes a place, or returns how long to wait.
func (t *turns) enter(key reconcile.Request) (wait time.Duration) {
	most := t.most
	if t.large(key.Namespace) {
		most = 1
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	waiting := t.waiting[key.Namespace]
	if t.inside[key.Namespace] < most {
		t.inside[key.Namespace]++
		if delete(waiting, key); len(waiting) == 0 {
			delete(t.waiting, key.Namespace)
		}
		return 0
	}
	if waiting == nil {
		waiting = map[reconcile.Request]bool{}
		t.waiting[key.Namespace] = waiting
	}
	waiting[key] = true
	return turnRetry + time.Duration(len(waiting))*turnQueue + rand.N(turnRetry)
}

func (t *turns) leave(namespace string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.inside[namespace]--; t.inside[namespace] == 0 {
		delete(t.inside, namespace)
	}
}

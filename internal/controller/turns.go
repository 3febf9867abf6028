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
	// turnRetry is when a pass that was not let in comes again, before a jitter of as much, and turnQueue what it waits
	// longer for each other one of its namespace that waits.
	turnRetry = 100 * time.Millisecond
	turnQueue = 2 * time.Millisecond
)

// turns lets at most so many passes over objects of one namespace work at once, and one where its objects are large,
// so that a tenant with many objects, or with large ones, leaves workers and the API server to others. Nobody waits
// inside of it: a pass that is not let in comes again, and its backoff begins again, which costs its own namespace
// alone. It is safe for concurrent use.
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

// Reconcile runs a pass if its namespace has a place left.
func (t *turns) Reconcile(ctx context.Context, key reconcile.Request) (ctrl.Result, error) {
	if wait := t.enter(key); wait > 0 {
		return ctrl.Result{RequeueAfter: wait}, nil
	}
	defer t.leave(key.Namespace)
	return t.of.Reconcile(ctx, key)
}

// enter takes a place, or returns when to come again.
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

package controller

import (
	"context"
	"fmt"
	"sync"
	"testing"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/nfo-operator/nfo/internal/controller/wake"
)

// A namespace with many objects must leave places to others, and must be admitted again when its passes have ended.
func TestANamespaceLeavesPlacesToOthers(t *testing.T) {
	t.Parallel()
	entered, end := make(chan string), make(chan struct{})
	all := newTurns(reconcile.Func(func(_ context.Context, key reconcile.Request) (ctrl.Result, error) {
		entered <- key.Namespace
		<-end
		return ctrl.Result{}, nil
	}), 2, func(namespace string) bool { return namespace == "large" })
	var passes sync.WaitGroup
	begin := func(namespace string, i int) {
		passes.Go(func() {
			if r, err := all.Reconcile(t.Context(), wake.Request(namespace, fmt.Sprint(i))); err != nil || r.RequeueAfter != 0 {
				t.Errorf("pass %d of %s: %v, %v", i, namespace, r, err)
			}
		})
	}
	for i := range 2 {
		begin("many", i)
		<-entered
	}
	last := turnRetry
	for i := range 50 {
		r, err := all.Reconcile(t.Context(), wake.Request("many", fmt.Sprint("more", i)))
		if err != nil || r.RequeueAfter < turnRetry {
			t.Fatalf("pass %d over the bound: %v, %v", i, r, err)
		}
		last = r.RequeueAfter
	}
	if last < turnRetry+50*turnQueue {
		t.Errorf("the last of 50 that wait comes again in %s", last)
	}
	begin("other", 0)
	if namespace := <-entered; namespace != "other" {
		t.Fatalf("%s is let in", namespace)
	}
	begin("large", 0)
	<-entered
	if r, err := all.Reconcile(t.Context(), wake.Request("large", "1")); err != nil || r.RequeueAfter < turnRetry {
		t.Errorf("a second pass over large objects: %v, %v", r, err)
	}
	close(end)
	passes.Wait()
	begin("many", 2)
	<-entered
	passes.Wait()
	if len(all.inside) != 0 {
		t.Errorf("there are still %v inside", all.inside)
	}
}

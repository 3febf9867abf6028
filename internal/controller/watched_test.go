package controller

import (
	"context"
	"testing"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/nfo-operator/nfo/internal/controller/wake"
	"github.com/nfo-operator/nfo/internal/reference"
)

func TestNothingIsDoneInUnwatchedNamespaces(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		watched reference.Watched
		want    int
	}{
		"All": {nil, 2}, "One": {reference.Watched{"a"}, 1}, "None of them": {reference.Watched{"c"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			done := 0
			r := within(tc.watched, reconcile.Func(func(context.Context, reconcile.Request) (ctrl.Result, error) {
				done++
				return ctrl.Result{}, nil
			}))
			for _, namespace := range []string{"a", "b"} {
				if _, err := r.Reconcile(t.Context(), wake.Request(namespace, "x")); err != nil {
					t.Fatal(err)
				}
			}
			if done != tc.want {
				t.Errorf("of a and b it works on %d", done)
			}
			if in := cachedIn(tc.watched); len(in) != len(tc.watched) {
				t.Errorf("the cache reads %v", in)
			}
		})
	}
}

package reference

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference/referencetest"
)

// made is the creation time of the objects and kinds of the tests.
var made = time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)

func reader(t *testing.T, f interceptor.Funcs, objects ...client.Object) client.Client {
	t.Helper()
	s := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(s); err != nil {
		t.Fatal(err)
	}
	objects = append(referencetest.Definitions(made), objects...)
	b := fake.NewClientBuilder().WithScheme(s).WithObjects(objects...).WithInterceptorFuncs(f)
	for _, o := range []client.Object{&v1alpha1.ArtifactManifest{}, &v1alpha1.NetworkFunctionDefinitionVersion{}, &v1alpha1.NetworkServiceDesignVersion{}} {
		b = b.WithIndex(o, Field, Keys)
	}
	return b.Build()
}

func TestCachedAgreesWithLive(t *testing.T) {
	t.Parallel()
	c := reader(t, interceptor.Funcs{},
		manifest("m", "chart"), manifest("m2", "chart"),
		definition("a", byManifest("m"), "chart"), definition("b", byStore("acme"), "chart"), definition("c", byManifest("m2"), "chart"),
		design("d", byManifest("m"), "x", "a"))
	f := NewFinder(c, c, time.Now)
	for _, subject := range []client.Object{manifest("m", "chart"), manifest("m2", "chart"), definition("a", byManifest("m"), "chart")} {
		cached, err := f.Cached(t.Context(), subject)
		if err != nil {
			t.Fatal(err)
		}
		live, err := f.Live(t.Context(), subject)
		if err != nil {
			t.Fatal(err)
		}
		if len(cached) == 0 || len(cached) != len(live.Holders) {
			t.Fatalf("%s: cached %d holders, live %d", subject.GetName(), len(cached), len(live.Holders))
		}
		for i, h := range live.Holders {
			if cached[i].Object != h.Object {
				t.Errorf("%s: holder %d is %v cached and %v live", subject.GetName(), i, cached[i].Object, h.Object)
			}
		}
	}
}

func TestI2AFailedListIsAnError(t *testing.T) {
	t.Parallel()
	down := errors.New("down")
	for _, failing := range []string{"*v1alpha1.NetworkFunctionDefinitionVersionList", "*v1alpha1.NetworkServiceDesignVersionList"} {
		t.Run(failing, func(t *testing.T) {
			t.Parallel()
			c := reader(t, interceptor.Funcs{List: func(ctx context.Context, c client.WithWatch, l client.ObjectList, o ...client.ListOption) error {
				if fmt.Sprintf("%T", l) == failing {
					return down
				}
				return c.List(ctx, l, o...)
			}})
			f := NewFinder(c, c, time.Now)
			if _, err := f.Live(t.Context(), manifest("m")); !errors.Is(err, down) {
				t.Errorf("Live with a failing list = %v, want %v", err, down)
			}
			if _, err := f.Cached(t.Context(), manifest("m")); !errors.Is(err, down) {
				t.Errorf("Cached with a failing list = %v, want %v", err, down)
			}
		})
	}
}

// Each answer must come from a list that began after the call: a holder that was
// stored before the call is always in the answer, however the calls overlap.
func TestI3LiveListsBeginAfterTheQuestion(t *testing.T) {
	t.Parallel()
	var lists atomic.Int32
	c := reader(t, interceptor.Funcs{List: func(ctx context.Context, c client.WithWatch, l client.ObjectList, o ...client.ListOption) error {
		lists.Add(1)
		return c.List(ctx, l, o...)
	}})
	f := NewFinder(c, c, time.Now)
	const askers = 200
	var wg sync.WaitGroup
	for i := range askers {
		wg.Go(func() {
			name := "m" + string(rune('a'+i%26)) + string(rune('a'+i/26))
			if err := c.Create(t.Context(), definition(name, byManifest(name), "x")); err != nil {
				t.Error(err)
				return
			}
			found, err := f.Live(t.Context(), manifest(name))
			if err != nil || len(found.Holders) != 1 {
				t.Errorf("the holder of %s, stored before the question, is not in the answer: %v, %v", name, found.Holders, err)
			}
		})
	}
	wg.Wait()
	if n := lists.Load(); n > askers*3 {
		t.Errorf("%d lists for %d questions", n, askers)
	}
}

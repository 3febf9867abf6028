package pod

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/rewrite"
)

func anImage(n int) rewrite.Image {
	return rewrite.Image{Host: "r.example", Repository: fmt.Sprintf("upf%d", n), Tag: "1"}
}

func aClient(t *testing.T, funcs interceptor.Funcs, objects ...client.Object) client.Client {
	t.Helper()
	scheme, err := reference.NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithInterceptorFuncs(funcs).Build()
}

func TestAQueueIsBoundedAndFair(t *testing.T) {
	t.Parallel()
	q := NewQueue()
	for n := range 2 * maxWaiting {
		q.Use("loud", anImage(n))
	}
	q.Use("quiet", anImage(0))
	q.Use("quiet", anImage(0))
	taken := map[string]int{}
	for i := 0; ; i++ {
		namespace, _, ok := q.next()
		if !ok {
			break
		}
		if taken[namespace]++; namespace == "quiet" && i > 1 {
			t.Errorf("who has one image waits for %d of another's", i)
		}
	}
	if taken["loud"] != maxWaiting || taken["quiet"] != 1 {
		t.Errorf("it had %v", taken)
	}
	for n := range 2 * maxNamespaces {
		q.Use(fmt.Sprint(n), anImage(0))
	}
	if len(q.turns) != maxNamespaces || len(q.waiting) != maxNamespaces {
		t.Errorf("%d namespaces wait", len(q.turns))
	}
}

func TestArtifactsAreMadeOnce(t *testing.T) {
	t.Parallel()
	var creates atomic.Int64
	var down atomic.Bool
	api := aClient(t, interceptor.Funcs{Create: func(ctx context.Context, w client.WithWatch, o client.Object, opts ...client.CreateOption) error {
		creates.Add(1)
		if down.Load() {
			return errors.New("the API server is down")
		}
		return w.Create(ctx, o, opts...)
	}})
	q := NewQueue()
	q.Client = api
	down.Store(true)
	if err := q.create(t.Context(), "core", anImage(1)); err == nil {
		t.Error("it does not say that it failed")
	}
	down.Store(false)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- q.Start(ctx) }()
	q.Use("core", anImage(1))
	key := client.ObjectKey{Namespace: "core", Name: v1alpha1.ArtifactName("r.example/upf1:1")}
	for until := time.Now().Add(10 * time.Second); ; {
		a := &v1alpha1.Artifact{}
		if err := api.Get(t.Context(), key, a); err == nil && a.Spec.SourceArtifact == "r.example/upf1:1" {
			break
		}
		if time.Now().After(until) {
			t.Fatal("no Artifact")
		}
		<-time.After(5 * time.Millisecond)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := q.create(t.Context(), "core", anImage(1)); err != nil || creates.Load() != 2 {
		t.Errorf("it is made again: %d, %v", creates.Load(), err)
	}
}

// The readings of workloads do not see a pod that exists only between two of them.
func TestAPodThatIsCreatedEndsTheGraceOfItsImage(t *testing.T) {
	t.Parallel()
	for state, want := range map[v1alpha1.MirrorState]bool{v1alpha1.MirrorPresent: true, v1alpha1.MirrorReleasing: false} {
		a := anImage(1).Artifact("core")
		a.Status.State, a.Status.UnusedSince = state, new(metav1.NewTime(time.Now().Add(-23*time.Hour)))
		scheme, err := reference.NewScheme()
		if err != nil {
			t.Fatal(err)
		}
		q := NewQueue()
		q.Client = fake.NewClientBuilder().WithScheme(scheme).WithObjects(a).WithStatusSubresource(a).Build()
		if err := q.create(t.Context(), "core", anImage(1)); err != nil {
			t.Fatal(err)
		}
		now := &v1alpha1.Artifact{}
		if err := q.Client.Get(t.Context(), client.ObjectKeyFromObject(a), now); err != nil {
			t.Fatal(err)
		}
		if used := now.Status.UnusedSince == nil; used != want || now.Status.State != state {
			t.Errorf("%s: it is used: %t, want %t", now.Status.State, used, want)
		}
	}
}

func TestANamespaceHasSoManyArtifacts(t *testing.T) {
	t.Parallel()
	var all []client.Object
	for n := range maxArtifacts {
		all = append(all, &v1alpha1.Artifact{ObjectMeta: metav1.ObjectMeta{Namespace: "core", Name: fmt.Sprint(n)}})
	}
	q := NewQueue()
	q.Client = aClient(t, interceptor.Funcs{}, all...)
	if err := q.create(t.Context(), "core", anImage(1)); err == nil {
		t.Error("one more is made")
	}
	if err := q.create(t.Context(), "ran", anImage(1)); err != nil {
		t.Errorf("another namespace has none: %v", err)
	}
}

package reference

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

func TestConfirm(t *testing.T) {
	t.Parallel()
	a, b, c := definition("a", byManifest("m"), "chart"), definition("b", byManifest("m"), "chart"), definition("c", byManifest("m"), "chart")
	going := definition("a", byManifest("m"), "chart")
	going.DeletionTimestamp, going.Finalizers = &metav1.Time{Time: time.Now()}, []string{v1alpha1.Finalizer}
	elsewhere := definition("a", byManifest("m2"), "chart")
	for name, tc := range map[string]struct {
		reason string
		stored []client.Object
		want   []string
		reads  int
	}{
		"First":     {"one that stands is enough", []client.Object{a, b, c}, []string{"a", "b", "c"}, 1},
		"FirstGone": {"the next one stands", []client.Object{b}, []string{"b", "c"}, 2},
		"Going":     {"it waits for nobody", []client.Object{going, b, c}, []string{"b", "c"}, 2},
		"Changed":   {"it names something else now", []client.Object{elsewhere, c}, []string{"c"}, 3},
		"AllGone":   {"the cache lags behind", nil, nil, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reads := 0
			live := reader(t, interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, k client.ObjectKey, o client.Object, opts ...client.GetOption) error {
				reads++
				return c.Get(ctx, k, o, opts...)
			}}, tc.stored...)
			f, subject := NewFinder(reader(t, interceptor.Funcs{}, a, b, c), live, time.Now), manifest("m", "chart")
			cached, err := f.Cached(t.Context(), subject)
			if err != nil || len(cached) != 3 {
				t.Fatalf("the cache has %v, %v", cached, err)
			}
			holders, err := f.Confirm(t.Context(), subject, cached)
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, h := range holders {
				names = append(names, h.Name)
			}
			if diff := cmp.Diff(tc.want, names); diff != "" || reads != tc.reads {
				t.Errorf("%s: %d reads, -want +got\n%s", tc.reason, reads, diff)
			}
		})
	}
}

func TestBlankIsOfItsKind(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{v1alpha1.KindArtifactStore, v1alpha1.KindArtifactManifest, v1alpha1.KindDefinition, v1alpha1.KindDesign, v1alpha1.KindSite} {
		if o := (Object{Kind: kind}).Blank(); o == nil || Self(o).Kind != kind {
			t.Errorf("the blank object of kind %s is a %T", kind, o)
		}
	}
	if o := (Object{Kind: "Secret"}).Blank(); o != nil {
		t.Errorf("the blank object of a kind that is not ours is a %T", o)
	}
}

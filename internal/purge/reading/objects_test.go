package reading

import (
	"context"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// If tombstones were read first, a purge would miss an artifact
// that a release moves from a manifest to a tombstone meanwhile.
func TestI1ManifestsAreReadBeforeTombstones(t *testing.T) {
	t.Parallel()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var order []string
	api := fake.NewClientBuilder().WithScheme(scheme).WithInterceptorFuncs(interceptor.Funcs{
		List: func(_ context.Context, _ client.WithWatch, l client.ObjectList, _ ...client.ListOption) error {
			mu.Lock()
			defer mu.Unlock()
			order = append(order, runtimeType(l))
			return nil
		},
	}).Build()
	if _, err := ReadObjects(t.Context(), api, clock.RealClock{}, time.Now, storeKey, Running{}); err != nil {
		t.Fatal(err)
	}
	if order[len(order)-1] != v1alpha1.KindTombstone || len(order) != 5 {
		t.Errorf("the lists are %v, want tombstones after all others", order)
	}
}

package crashtest_test

import (
	"errors"
	"reflect"
	"slices"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/nfo-operator/nfo/internal/crashtest"
)

// The interceptor has a function for each method of a client. The test finds a write that is not a crash point.
func TestEveryWriteIsIntercepted(t *testing.T) {
	t.Parallel()
	reads := []string{"Get", "List", "Watch", "SubResource", "SubResourceGet"}
	funcs := reflect.ValueOf(crashtest.NewCrash().Funcs())
	for i := range funcs.NumField() {
		if name := funcs.Type().Field(i).Name; funcs.Field(i).IsNil() != slices.Contains(reads, name) {
			t.Errorf("%s is intercepted: %t", name, !funcs.Field(i).IsNil())
		}
	}
}

// writes returns one call of each write. They succeed one after the other.
func writes(t *testing.T, api client.Client) []func() error {
	object := func() *corev1.ConfigMap {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "acme", Name: "settings"}}
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "acme", Name: "pod"}}
	patch := client.RawPatch("application/merge-patch+json", []byte(`{}`))
	return []func() error{
		func() error { return api.Create(t.Context(), object()) },
		func() error { return api.Create(t.Context(), pod.DeepCopy()) },
		func() error { return api.Update(t.Context(), object()) },
		func() error { return api.Patch(t.Context(), object(), patch) },
		func() error {
			return api.Apply(t.Context(), applycorev1.ConfigMap("settings", "acme"), client.FieldOwner("us"), client.ForceOwnership)
		},
		func() error { return api.SubResource("status").Update(t.Context(), pod.DeepCopy()) },
		func() error { return api.SubResource("status").Patch(t.Context(), pod.DeepCopy(), patch) },
		func() error {
			return api.SubResource("status").Apply(t.Context(), applycorev1.Pod("pod", "acme"), client.FieldOwner("us"), client.ForceOwnership)
		},
		func() error {
			return api.SubResource("eviction").Create(t.Context(), pod.DeepCopy(), &policyv1.Eviction{})
		},
		func() error { return api.Delete(t.Context(), object()) },
		func() error { return api.DeleteAllOf(t.Context(), &corev1.Pod{}, client.InNamespace("acme")) },
	}
}

func TestWritesAreRefused(t *testing.T) {
	t.Parallel()
	crash := crashtest.NewCrash()
	api := interceptor.NewClient(fake.NewClientBuilder().WithStatusSubresource(&corev1.Pod{}).Build(), crash.Funcs())
	all := writes(t, api)
	for i, write := range all {
		crash.Set(0, false)
		if err := write(); !errors.Is(err, crashtest.ErrCrashed) || crash.Writes() != 1 {
			t.Errorf("write %d after the crash: %v, want ErrCrashed; %d writes are counted", i, err, crash.Writes())
		}
		crash.Set(0, true)
		if err := write(); !apierrors.IsConflict(err) {
			t.Errorf("write %d that is refused: %v, want a conflict", i, err)
		}
		if err := write(); err != nil {
			t.Errorf("write %d once more: %v", i, err)
		}
	}
}

// Run it with -race: the process may still write while the test begins the next story.
func TestSetWhileAProcessWrites(t *testing.T) {
	t.Parallel()
	crash := crashtest.NewCrash()
	api := interceptor.NewClient(fake.NewClientBuilder().Build(), crash.Funcs())
	var writing sync.WaitGroup
	for range 4 {
		writing.Go(func() {
			for range 100 {
				_ = api.Create(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{GenerateName: "p"}}) // refused or not
			}
		})
	}
	written := make(chan struct{})
	go func() {
		writing.Wait()
		close(written)
	}()
	for once := false; ; once = !once {
		select {
		case <-written:
			return
		default:
			crash.Set(0, once)
		}
	}
}

package pass

import (
	"context"
	"errors"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
)

// A pass over a version whose status has been overwritten since
// must not believe that its conditions were already reported.
func TestStatusesKnowWhatTheCacheDoesNot(t *testing.T) {
	t.Parallel()
	scheme, err := reference.NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	m := &v1alpha1.ArtifactManifest{}
	m.Namespace, m.Name, m.UID = "publisher", "m", "u1"
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(m).WithStatusSubresource(m).Build()
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(m), m); err != nil {
		t.Fatal(err)
	}
	old := m.DeepCopy()
	var w Statuses
	if err := w.Current(m); err != nil {
		t.Errorf("nothing was written: %v", err)
	}
	m.Status.UpgradingFrom = v1alpha1.StoreScoped
	if err := w.Write(t.Context(), c, m); err != nil {
		t.Fatal(err)
	}
	if err := w.Current(m); err != nil {
		t.Errorf("as it is stored: %v", err)
	}
	if err := w.Current(old); !errors.Is(err, reference.ErrSuperseded) {
		t.Errorf("as it was before the write: %v", err)
	}
	if err := w.Write(t.Context(), c, old); err == nil {
		t.Error("a write over the old version is a conflict")
	}
	w.Forget(m.UID)
	if err := w.Current(old); err != nil {
		t.Errorf("it has gone: %v", err)
	}
}

// If the API server drops a status change, it answers with the same version. The cache
// does not lag then, and a pass that waited for a newer version would wait for ever.
func TestAStatusThatChangesNothingIsNoWrite(t *testing.T) {
	t.Parallel()
	scheme, err := reference.NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	m := &v1alpha1.ArtifactManifest{}
	m.Namespace, m.Name, m.UID = "publisher", "m", "u1"
	prunes := interceptor.Funcs{SubResourceUpdate: func(ctx context.Context, c client.Client, _ string, o client.Object, _ ...client.SubResourceUpdateOption) error {
		return c.Get(ctx, client.ObjectKeyFromObject(o), o)
	}}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(m).WithStatusSubresource(m).WithInterceptorFuncs(prunes).Build()
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(m), m); err != nil {
		t.Fatal(err)
	}
	read := m.DeepCopy()
	var w Statuses
	m.Status.UpgradingFrom = v1alpha1.StoreScoped
	if err := w.Write(t.Context(), c, m); err != nil {
		t.Fatal(err)
	}
	if err := w.Current(read); err != nil {
		t.Errorf("it is what is stored: %v", err)
	}
}

func TestSooner(t *testing.T) {
	t.Parallel()
	for _, tt := range [][3]time.Duration{{0, 0, 0}, {0, 2, 2}, {2, 0, 2}, {1, 2, 1}, {2, 1, 1}} {
		if got := Sooner(tt[0], tt[1]); got != tt[2] {
			t.Errorf("of %d and %d it is %d, want %d", tt[0], tt[1], got, tt[2])
		}
	}
}

// Only the messages of conditions that name holders may differ; anything else is another state.
func TestSameState(t *testing.T) {
	t.Parallel()
	is := func(kind, reason, message string) metav1.Condition {
		return metav1.Condition{Type: kind, Status: metav1.ConditionTrue, Reason: reason, Message: message}
	}
	held, ready := is(v1alpha1.ConditionReferenced, "InUse", "by a"), is(v1alpha1.ConditionReady, "Ready", "all")
	for name, tc := range map[string]struct {
		after []metav1.Condition
		want  bool
	}{
		"Same":     {[]metav1.Condition{held, ready}, true},
		"Reworded": {[]metav1.Condition{is(v1alpha1.ConditionReferenced, "InUse", "by b"), ready}, true},
		"Reason":   {[]metav1.Condition{is(v1alpha1.ConditionReferenced, "Unreferenced", "by a"), ready}, false},
		"Another":  {[]metav1.Condition{held, is(v1alpha1.ConditionReady, "Ready", "some")}, false},
		"Fewer":    {[]metav1.Condition{held}, false},
	} {
		if got := SameState([]metav1.Condition{held, ready}, tc.after); got != tc.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

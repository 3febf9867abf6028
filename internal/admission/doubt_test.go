package admission

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference/referencetest"
)

// An object that waits until its holders are applied again can be referenced by them, although it is being deleted.
func TestI2HoldersThatComeBackAreAdmitted(t *testing.T) {
	t.Parallel()
	m := manifest("m", "a:1")
	m.DeletionTimestamp = &metav1.Time{Time: time.Unix(2, 0)}
	if !targetOf(m).terminating {
		t.Error("what is being deleted can be named anew")
	}
	m.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionDeletionBlocked, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonHoldersUnknown}}
	if targetOf(m).terminating {
		t.Error("what waits for its holders cannot be named by them")
	}
}

// While a kind that could hold an object is missing, or may not have all its
// objects back, the object cannot be deleted although no holder is known.
func TestI2DeletionWaitsForKindsThatCouldHold(t *testing.T) {
	t.Parallel()
	design := referencetest.Definition(v1alpha1.KindDesign, time.Unix(1, 0))
	for name, tc := range map[string]struct {
		reason string
		change func(client.Client) error
		want   string
	}{
		"There":   {"all kinds are older than the manifest", func(client.Client) error { return nil }, ""},
		"Missing": {"nobody knows what designs there are", func(c client.Client) error { return c.Delete(t.Context(), design.DeepCopy()) }, "CustomResourceDefinition networkservicedesignversions.nfo.dev does not exist"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := manifest("m", "a:1")
			c := api(t, interceptor.Funcs{}, m, home())
			if err := tc.change(c); err != nil {
				t.Fatal(err)
			}
			err := worldOf(c, c).deletable(t.Context(), m)
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("%v: %s", err, tc.reason)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), "artifactmanifests/publisher/m may be in use") || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("%v: %s", err, tc.reason)
			}
		})
	}
}

package wake

import (
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// Next wakes an object by name, and does not block when the channel is full.
func TestNextNeverWaits(t *testing.T) {
	t.Parallel()
	through := NewChannel()
	next := Next(through, func() client.Object { return &v1alpha1.Artifact{} })
	next("not a key")
	for range maxNext + 1 {
		next(client.ObjectKey{Namespace: "ran", Name: "amf"})
	}
	if len(through) != maxNext {
		t.Fatalf("%d wait", len(through))
	}
	if got := (<-through).Object; client.ObjectKeyFromObject(got) != (client.ObjectKey{Namespace: "ran", Name: "amf"}) {
		t.Errorf("woken: %s", client.ObjectKeyFromObject(got))
	}
}

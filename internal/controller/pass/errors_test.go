package pass

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/backend"
	"github.com/nfo-operator/nfo/internal/chart"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/release"
)

func TestExplain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		reason string
		err    error
		class  Class
		want   string // the reason of the condition
		says   string // the end of the message
	}{
		"SecretNotFound": {
			reason: "the error says itself what to do",
			err:    fmt.Errorf("reading Secret ns/push: %w; create it, or change the reference", backend.ErrSecretNotFound),
			class:  Stuck, want: v1alpha1.ReasonSecretNotFound, says: "create it, or change the reference.",
		},
		"SecretInvalid": {
			reason: "the Secret is named, and the store that names it",
			err:    fmt.Errorf("reading Secret ns/push: %w", registry.ErrCredentials),
			class:  Stuck, want: v1alpha1.ReasonSecretInvalid, says: "the token of the operator's pod.",
		},
		"NoClusterRegistry": {
			reason: "the error says itself how to enable it",
			err:    fmt.Errorf("connecting to the registry: %w: enable it", registry.ErrNoClusterRegistry),
			class:  Stuck, want: v1alpha1.ReasonClusterRegistryDisabled, says: "enable it.",
		},
		"Address": {
			reason: "an address that is refused does not make the URL wrong for ever, and so the store not inert",
			err:    fmt.Errorf("reaching host: %w", registry.ErrAddress),
			class:  Stuck, want: v1alpha1.ReasonAddressRefused, says: "(allowLoopbackRegistries).",
		},
		"CABundle": {
			reason: "a bundle without a certificate does not make the URL wrong, and so the store not inert",
			err:    fmt.Errorf("opening host: %w", backend.ErrCABundle),
			class:  Stuck, want: v1alpha1.ReasonInvalidCABundle, says: "signed the registry's certificate.",
		},
		"Denied": {
			reason: "what a login must be able to do is said",
			err:    fmt.Errorf("untagging a:1: %w", registry.ErrDenied),
			class:  Stuck, want: v1alpha1.ReasonDenied, says: "may read, push and delete there.",
		},
		"Stalled": {
			reason: "the machine, and not the chart: it is tried again",
			err:    fmt.Errorf("reading chart a:1: %w: too busy; nfo tries again", chart.ErrStalled),
			class:  retry, want: v1alpha1.ReasonPending, says: "nfo tries again.",
		},
		"Unavailable": {
			reason: "a certificate that is not trusted is among these",
			err:    fmt.Errorf("reaching host: %w", registry.ErrUnavailable),
			class:  retry, want: v1alpha1.ReasonUnavailable, says: "the store's url and caBundle.",
		},
		"Unreadable": {
			reason: "a damaged artifact or something that is not a registry",
			err:    fmt.Errorf("reading a:1: %w", registry.ErrUnreadable),
			class:  Stuck, want: v1alpha1.ReasonUnreadable, says: "push again what is damaged.",
		},
		"UndoTagTaken": {
			reason: "two ways out, and neither loses anything",
			err:    fmt.Errorf("quarantining a@sha256:0: %w: %w", release.ErrUndoTagTaken, registry.ErrTagTaken),
			class:  Stuck, want: v1alpha1.ReasonTagMoved, says: "set spec.purge.undo of the store to Untagged.",
		},
		"TagTaken": {
			reason: "another tag that has moved is looked at again",
			err:    fmt.Errorf("learning to untag from a:1: %w", registry.ErrTagTaken),
			class:  retry, want: v1alpha1.ReasonUnknown, says: "tag is at another digest.",
		},
		"Claimed": {
			reason: "nobody need do anything",
			err:    release.ErrClaimed,
			class:  Again, want: v1alpha1.ReasonPending, says: "a purge is deleting these digests.",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if class, reason := Classify(c.err); class != c.class || reason != c.want {
				t.Errorf("%s: it is %v, %s; want %v, %s", c.reason, class, reason, c.class, c.want)
			}
			if got := Explain(c.err); !strings.HasPrefix(got, c.err.Error()+".") || !strings.HasSuffix(got, c.says) {
				t.Errorf("%s: it says %q, want the error and %q at the end", c.reason, got, c.says)
			}
		})
	}
}

func TestUnstorable(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		reason string
		err    error
		want   bool
	}{
		"None":     {"it is stored", nil, false},
		"Invalid":  {"a field breaks its schema, and will at every try", apierrors.NewInvalid(schema.GroupKind{Kind: "ArtifactManifest"}, "upf", nil), true},
		"TooLarge": {"the API server takes no such request", apierrors.NewRequestEntityTooLargeError("limit is 3145728"), true},
		"Etcd":     {"its storage takes no such object", apierrors.NewInternalError(errors.New("etcdserver: request is too large")), true},
		"Conflict": {"the next pass reads it again", apierrors.NewConflict(schema.GroupResource{}, "upf", nil), false},
		"Down":     {"it may be stored later", errors.New("connection refused"), false},
	} {
		if got := Unstorable(c.err); got != c.want {
			t.Errorf("%s: %v, want %v: %s", name, got, c.want, c.reason)
		}
	}
}

func TestSeverity(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		reason    string
		condition metav1.Condition
		want      string
	}{
		"Missing":      {"something is not as it should be", metav1.Condition{Type: v1alpha1.ConditionUploaded, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonMissing}, "Warning"},
		"Unavailable":  {"what cannot be known for a cause is as bad", metav1.Condition{Type: v1alpha1.ConditionUploaded, Status: metav1.ConditionUnknown, Reason: v1alpha1.ReasonUnavailable}, "Warning"},
		"PathConflict": {"an inert store's purge is not known", metav1.Condition{Type: v1alpha1.ConditionPurgeHealthy, Status: metav1.ConditionUnknown, Reason: v1alpha1.ReasonPathConflict}, "Warning"},
		"Pending":      {"not yet is not a trouble", metav1.Condition{Type: v1alpha1.ConditionUploaded, Status: metav1.ConditionUnknown, Reason: v1alpha1.ReasonPending}, "Normal"},
		"NoCronJob":    {"nor is what the operator's user chose", metav1.Condition{Type: v1alpha1.ConditionPurgeHealthy, Status: metav1.ConditionUnknown, Reason: v1alpha1.ReasonCronJobDisabled}, "Normal"},
		"NotTouched":   {"nor is what was asked for", metav1.Condition{Type: v1alpha1.ConditionUntagged, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonNotOurs}, "Normal"},
		"Blocked":      {"the one True that warns", metav1.Condition{Type: v1alpha1.ConditionDeletionBlocked, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonInUse}, "Warning"},
		"Released":     {"and the one False that does not", metav1.Condition{Type: v1alpha1.ConditionDeletionBlocked, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonReleased}, "Normal"},
		"Complete":     {"all is well", metav1.Condition{Type: v1alpha1.ConditionUploaded, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonComplete}, "Normal"},
	} {
		if got := severity(c.condition); got != c.want {
			t.Errorf("%s: %s: %s, want %s", name, c.reason, got, c.want)
		}
	}
}

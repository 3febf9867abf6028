package pass

import (
	"errors"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/backend"
	"github.com/nfo-operator/nfo/internal/chart"
	"github.com/nfo-operator/nfo/internal/lane"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/release"
	"github.com/nfo-operator/nfo/internal/workload"
)

// Unstorable reports whether the API server will refuse an object at every
// try, because a field is invalid or the object is too large for its storage.
func Unstorable(err error) bool {
	if err == nil {
		return false
	}
	return apierrors.IsInvalid(err) || apierrors.IsRequestEntityTooLargeError(err) ||
		strings.Contains(err.Error(), "etcdserver: request is too large") || strings.Contains(err.Error(), "trying to send message larger than max")
}

// StuckRetry is how often a pass is repeated after an error that only a person can
// correct and whose correction no watch reports, such as an error in a Secret.
const StuckRetry = time.Minute

// Class says how a pass is repeated after an error.
type Class int

// The classes of errors.
const (
	retry Class = iota // by the queue's backoff
	Stuck              // a person must act: set a condition, and check again every StuckRetry
	Again              // the cache lags or another process has a claim: soon, and without an error in the log
)

// Classify is the only place that decides what an error means for the pass: its class and its condition reason.
func Classify(err error) (Class, string) {
	reason := access(err)
	switch {
	case errors.Is(err, workload.ErrUnreadable):
		return Stuck, v1alpha1.ReasonWorkloadsUnreadable
	case errors.Is(err, reference.ErrHoldersUnknown):
		return Stuck, v1alpha1.ReasonHoldersUnknown
	case errors.Is(err, backend.ErrSecretNotFound):
		return Stuck, v1alpha1.ReasonSecretNotFound
	case errors.As(err, new(*NameTakenError)):
		return Stuck, v1alpha1.ReasonNameTaken
	case errors.Is(err, release.ErrOnDelete):
		return Stuck, v1alpha1.ReasonInvalidAnnotation
	case errors.Is(err, release.ErrStoreNotFound):
		return Stuck, v1alpha1.ReasonStoreNotFound
	case errors.Is(err, release.ErrShared):
		return Stuck, v1alpha1.ReasonNotOurs
	case errors.Is(err, release.ErrUndoTagTaken):
		return Stuck, v1alpha1.ReasonTagMoved
	case reason != "":
		return Stuck, reason
	case errors.Is(err, chart.ErrStalled):
		return retry, v1alpha1.ReasonPending
	case errors.Is(err, registry.ErrNotFound):
		return retry, v1alpha1.ReasonMissing
	case errors.Is(err, registry.ErrUnavailable), errors.Is(err, release.ErrStillThere):
		return retry, v1alpha1.ReasonUnavailable
	case apierrors.IsConflict(err), errors.Is(err, reference.ErrSuperseded), errors.Is(err, release.ErrClaimed), errors.As(err, new(lane.BusyError)):
		return Again, v1alpha1.ReasonPending
	}
	return retry, v1alpha1.ReasonUnknown
}

// access returns the reason of an error that says why the registry cannot
// be used and that only a person can correct; "" for any other error.
func access(err error) string {
	switch {
	case errors.Is(err, registry.ErrNoClusterRegistry):
		return v1alpha1.ReasonClusterRegistryDisabled
	case errors.Is(err, registry.ErrCredentials):
		return v1alpha1.ReasonSecretInvalid
	case errors.Is(err, backend.ErrCABundle):
		return v1alpha1.ReasonInvalidCABundle
	case errors.Is(err, registry.ErrAddress):
		return v1alpha1.ReasonAddressRefused
	case errors.Is(err, v1alpha1.ErrRegistryURL), errors.Is(err, registry.ErrConfig):
		return v1alpha1.ReasonInvalidURL
	case errors.Is(err, registry.ErrDenied):
		return v1alpha1.ReasonDenied
	case errors.Is(err, registry.ErrUnsupported):
		return v1alpha1.ReasonUnsupported
	case errors.Is(err, registry.ErrUnreadable):
		return v1alpha1.ReasonUnreadable
	}
	return ""
}

// ReasonOf returns the condition reason of an error.
func ReasonOf(err error) string {
	_, reason := Classify(err)
	return reason
}

// Soon reports whether an error only repeats the pass soon, without an error in the log.
func Soon(err error) bool {
	c, _ := Classify(err)
	return c == Again
}

// Fleeting reports whether an error repeats the pass soon and will usually be over then, so that
// it is not a state to report. The claim of a purge is not fleeting: it lasts as long as the purge.
func Fleeting(err error) bool { return Soon(err) && !errors.Is(err, release.ErrClaimed) }

// remedies are what a person can do, by reason, if the error itself does not say it.
var remedies = map[string]string{
	v1alpha1.ReasonSecretInvalid:   "Correct the Secret that the store's credentialsSecretRef names; in the cluster's own registry, the token of the operator's pod.",
	v1alpha1.ReasonAddressRefused:  "Use a host that does not resolve to a loopback, link-local or cloud metadata address. An administrator can allow loopback addresses in the Helm chart (allowLoopbackRegistries).",
	v1alpha1.ReasonInvalidCABundle: "Set caBundle to the certificate of the authority that signed the registry's certificate.",
	v1alpha1.ReasonTagMoved:        "Delete that tag, or set spec.purge.undo of the store to Untagged.",
	v1alpha1.ReasonDenied:          "Check that the Secret that the store's credentialsSecretRef names, or in the cluster's own registry the operator's account, may read, push and delete there.",
	v1alpha1.ReasonUnavailable:     "Check the registry, the network, and the store's url and caBundle.",
	v1alpha1.ReasonUnreadable:      "Check that the store's url leads to an OCI registry, and push again what is damaged.",
}

// Explain describes an error in whole sentences: what went wrong, and what to do about it.
func Explain(err error) string {
	_, reason := Classify(err)
	return strings.TrimSuffix(fmt.Sprintf("%v. %s", err, remedies[reason]), " ")
}

// againAfter is how long until a pass is repeated after another writer
// changed its object. By that time, the cache usually has the change.
const againAfter = 30 * time.Millisecond

// Finish turns the pass's error into a result for controller-runtime. No error
// is ever terminal, because that would strand an object whose deletion waits.
func Finish(result ctrl.Result, err error) (ctrl.Result, error) {
	if err == nil {
		return result, nil
	}
	c, _ := Classify(err)
	var busy lane.BusyError
	switch wait := registry.RetryAfter(err); {
	case c == Stuck:
		return ctrl.Result{RequeueAfter: StuckRetry}, nil
	case errors.As(err, &busy):
		return ctrl.Result{RequeueAfter: time.Duration(busy)}, nil
	case c == Again:
		return ctrl.Result{RequeueAfter: againAfter}, nil
	case wait > 0:
		return ctrl.Result{RequeueAfter: wait}, nil
	}
	return ctrl.Result{}, err
}

// NameTakenError says that the names of a store's purge objects are taken by objects of somebody else.
type NameTakenError struct {
	// Objects has at least one object, as "Kind namespace/name".
	Objects []string
}

func (e *NameTakenError) Error() string {
	it, them := "it", "it was"
	if len(e.Objects) > 1 {
		it, them = "them", "they were"
	}
	return fmt.Sprintf("Another object has the name that the purge of this store needs: %s. nfo changes nothing under this name, because %s not made for this store. Delete or rename %s, or make a store with another name. nfo checks again every minute.",
		strings.Join(e.Objects, ", "), them, it)
}

package controller

import (
	"errors"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/chart"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/registry"
)

var (
	// errSecretNotFound: the store names a Secret that does not exist.
	errSecretNotFound = errors.New("the Secret does not exist")
	// errCABundle: nothing in the store's caBundle is a certificate.
	errCABundle = errors.New("caBundle holds no PEM certificate")
	// errStoreNotFound: the manifest's store does not exist, and artifacts were seen in it.
	errStoreNotFound = errors.New("the store does not exist; create it again")
	// errOnDelete: somebody asked for something on deletion that is not known.
	errOnDelete = errors.New("annotation " + v1alpha1.AnnotationOnDelete + " has a value that is not known; the only one is " + v1alpha1.OnDeleteOrphan)
	// errSuperseded: the object has changed since it was read; the next pass reads again.
	errSuperseded = errors.New("the object has changed since it was read")
	// errUndoTagTaken: the tag that is to keep a digest is at another one, so that it keeps nothing.
	errUndoTagTaken = errors.New("the undo tag is taken")
	// errShared: another manifest lists the tag too.
	errShared = errors.New("this manifest lists the tag too, and what another manifest lists is never touched; take it from that list, or push the sealed artifact yourself")
	// errBusy: others are in the registry; see lane.
	errBusy = errors.New("as many are at work in this registry as may be at once")
	// errClaimed: a purge has claimed the tombstone's entry.
	errClaimed = errors.New("a purge is deleting these digests")
	// errStillThere: the registry took the deletion of a tag and still has the tag.
	errStillThere = errors.New("the registry accepted the deletion of the tag and still has it")
)

// unstorable reports whether the API server refuses what was sent to it whatever is done, because a field is invalid or
// the whole is too large for its storage.
func unstorable(err error) bool {
	if err == nil {
		return false
	}
	return apierrors.IsInvalid(err) || apierrors.IsRequestEntityTooLargeError(err) ||
		strings.Contains(err.Error(), "etcdserver: request is too large") || strings.Contains(err.Error(), "trying to send message larger than max")
}

// stuckRetry is how often something is tried again that only a person can mend and that no
// watch tells of, such as a Secret.
const stuckRetry = time.Minute

// class says what to do about an error.
type class int

const (
	retry class = iota // by the queue's backoff
	stuck              // a person must act: a condition, and a slow re-check
	again              // the cache lags or a claim is taken: soon, without noise
)

// classify is the one place that tells what an error means for the pass: its class and the
// condition reason.
func classify(err error) (class, string) {
	switch {
	case errors.Is(err, reference.ErrHoldersUnknown):
		return stuck, v1alpha1.ReasonHoldersUnknown
	case errors.Is(err, errSecretNotFound):
		return stuck, v1alpha1.ReasonSecretNotFound
	case errors.As(err, new(*nameTakenError)):
		return stuck, v1alpha1.ReasonNameTaken
	case errors.Is(err, errOnDelete):
		return stuck, v1alpha1.ReasonInvalidAnnotation
	case errors.Is(err, errStoreNotFound):
		return stuck, v1alpha1.ReasonStoreNotFound
	case errors.Is(err, errShared):
		return stuck, v1alpha1.ReasonNotOurs
	case errors.Is(err, errUndoTagTaken):
		return stuck, v1alpha1.ReasonTagMoved
	case errors.Is(err, registry.ErrCredentials):
		return stuck, v1alpha1.ReasonSecretInvalid
	case errors.Is(err, errCABundle):
		return stuck, v1alpha1.ReasonInvalidCABundle
	case errors.Is(err, registry.ErrAddress):
		return stuck, v1alpha1.ReasonAddressRefused
	case errors.Is(err, v1alpha1.ErrRegistryURL), errors.Is(err, registry.ErrConfig):
		return stuck, v1alpha1.ReasonInvalidURL
	case errors.Is(err, registry.ErrDenied):
		return stuck, v1alpha1.ReasonDenied
	case errors.Is(err, registry.ErrUnsupported):
		return stuck, v1alpha1.ReasonUnsupported
	case errors.Is(err, registry.ErrUnreadable):
		return stuck, v1alpha1.ReasonUnreadable
	case errors.Is(err, chart.ErrStalled):
		return retry, v1alpha1.ReasonPending
	case errors.Is(err, registry.ErrNotFound):
		return retry, v1alpha1.ReasonMissing
	case errors.Is(err, registry.ErrUnavailable), errors.Is(err, errStillThere):
		return retry, v1alpha1.ReasonUnavailable
	case apierrors.IsConflict(err), errors.Is(err, errSuperseded), errors.Is(err, errClaimed), errors.Is(err, errBusy):
		return again, v1alpha1.ReasonPending
	}
	return retry, v1alpha1.ReasonUnknown
}

func reasonOf(err error) string {
	_, reason := classify(err)
	return reason
}

// remedies say what a person can do, by reason, where the error does not say it itself.
var remedies = map[string]string{
	v1alpha1.ReasonSecretInvalid:   "Correct the Secret that the store's credentialsSecretRef names.",
	v1alpha1.ReasonAddressRefused:  "Use a host that does not lead to this machine, its link or a cloud's metadata. An administrator can allow loopback addresses with --allow-loopback-registries (Helm: allowLoopbackRegistries).",
	v1alpha1.ReasonInvalidCABundle: "Put the certificate of the authority that signed the registry's into it.",
	v1alpha1.ReasonTagMoved:        "Delete that tag, or set spec.purge.undo of the store to Untagged.",
	v1alpha1.ReasonDenied:          "Check that the Secret that the store's credentialsSecretRef names has a login that may read, push and delete there.",
	v1alpha1.ReasonUnavailable:     "Check the registry, the network, and the store's url and caBundle.",
	v1alpha1.ReasonUnreadable:      "Check that the store's url leads to an OCI registry, and push again what is damaged.",
}

// explain tells of an error in whole sentences: what went wrong, and what to do about it.
func explain(err error) string {
	_, reason := classify(err)
	return strings.TrimSuffix(fmt.Sprintf("%v. %s", err, remedies[reason]), " ")
}

// finish turns the pass's error into controller-runtime's answer. Nothing is ever terminal:
// on the way of a deletion that would strand the object.
func finish(result ctrl.Result, err error) (ctrl.Result, error) {
	if err == nil {
		return result, nil
	}
	c, _ := classify(err)
	switch wait := registry.RetryAfter(err); {
	case c == stuck:
		return ctrl.Result{RequeueAfter: stuckRetry}, nil
	case c == again:
		return ctrl.Result{RequeueAfter: time.Second}, nil
	case wait > 0:
		return ctrl.Result{RequeueAfter: wait}, nil
	}
	return ctrl.Result{}, err
}

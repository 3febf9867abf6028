package admission

import (
	"fmt"
	"net/http"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
)

// inUse returns the refusal to delete an object that is held: AOSM's words, followed by what to do.
func inUse(subject client.Object, holders []reference.Holder) *apierrors.StatusError {
	self := reference.Self(subject)
	return refused(subject, reference.Refusal(self, holders)+". "+reference.NextStep(self))
}

// maybeInUse returns the refusal to delete an object whose possible holders cannot be listed reliably.
func maybeInUse(subject client.Object, doubt error) *apierrors.StatusError {
	return refused(subject, fmt.Sprintf("%s may be in use: %v", reference.Self(subject), doubt))
}

// refused returns the refusal of a deletion. NewConflict would add words before the message.
func refused(subject client.Object, why string) *apierrors.StatusError {
	self := reference.Self(subject)
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status:  metav1.StatusFailure,
		Code:    http.StatusConflict,
		Reason:  metav1.StatusReasonConflict,
		Message: why,
		Details: &metav1.StatusDetails{Group: v1alpha1.GroupVersion.Group, Kind: self.Kind, Name: self.Name, UID: subject.GetUID()},
	}}
}

// unwatched returns the refusal to create an object in a namespace that the operator does not watch.
func unwatched(o client.Object, w reference.Watched) *apierrors.StatusError {
	self := reference.Self(o)
	return apierrors.NewForbidden(schema.GroupResource{Group: v1alpha1.GroupVersion.Group, Resource: v1alpha1.Resource(self.Kind)}, self.Name, fmt.Errorf(
		"nfo does not watch the namespace %s, so nothing would manage this object; create it in a watched namespace (%s), "+
			"or have an administrator add the namespace to watchNamespaces of the chart (--watch-namespaces of the manager)",
		self.Namespace, strings.Join(w, ", ")))
}

// stranded returns the refusal to delete an object with the finalizer in a namespace that the operator no longer watches.
func stranded(o client.Object) *apierrors.StatusError {
	self := reference.Self(o)
	return refused(o, fmt.Sprintf("%s cannot be deleted: nfo no longer watches the namespace %s, so nothing would release the artifacts and remove the finalizer. "+
		"Have an administrator add the namespace to watchNamespaces of the chart (--watch-namespaces of the manager), then delete it. To leave all artifacts in the registry, remove the finalizer %s first",
		self, self.Namespace, v1alpha1.Finalizer))
}

// unavailable returns the error for a question that cannot be answered now. Clients retry after one second.
func unavailable(why string) *apierrors.StatusError {
	err := apierrors.NewServiceUnavailable(why)
	err.ErrStatus.Details = &metav1.StatusDetails{RetryAfterSeconds: 1}
	return err
}

// unread returns the answer to a request for which a read has failed. It never passes on the status of that
// read: a "not found" or "forbidden" of the webhook's own read would look like an answer to the user's request.
func unread(err error) error { return unavailable("the request cannot be checked now: " + err.Error()) }

// invalid returns all errors of an object as one, or nil if there are none.
func invalid(o client.Object, all field.ErrorList) error {
	if len(all) == 0 {
		return nil
	}
	self := reference.Self(o)
	return apierrors.NewInvalid(v1alpha1.GroupVersion.WithKind(self.Kind).GroupKind(), self.Name, all)
}

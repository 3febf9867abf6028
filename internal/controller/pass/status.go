package pass

import (
	"cmp"
	"context"
	"slices"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
)

// Conditions collects the conditions that one pass sets.
type Conditions []metav1.Condition

// Set adds a condition. It puts the message on one line that is safe to
// print on a terminal. Of two conditions of one type, the later one counts.
func (cs *Conditions) Set(kind string, status metav1.ConditionStatus, reason, message string) {
	*cs = append(*cs, metav1.Condition{Type: kind, Status: status, Reason: reason, Message: v1alpha1.Clip(v1alpha1.Line(message), v1alpha1.MaxMessage)})
}

// Referenced adds the condition that reports holders.
func (cs *Conditions) Referenced(subject reference.Object, holders []reference.Holder) {
	if len(holders) == 0 {
		cs.Set(v1alpha1.ConditionReferenced, metav1.ConditionFalse, v1alpha1.ReasonUnreferenced, "No object references it.")
		return
	}
	cs.Set(v1alpha1.ConditionReferenced, metav1.ConditionTrue, v1alpha1.ReasonInUse, reference.Refusal(subject, holders))
}

// Blocked adds the conditions of an object that is being deleted and held.
func (cs *Conditions) Blocked(subject reference.Object, holders []reference.Holder) {
	next := ". Deletion continues automatically once these are deleted."
	if slices.ContainsFunc(holders, reference.Holder.Runs) {
		next += " nfo checks what workloads run every 10 seconds at first, and at least every 10 minutes."
	}
	cs.Set(v1alpha1.ConditionDeletionBlocked, metav1.ConditionTrue, v1alpha1.ReasonInUse, reference.Refusal(subject, holders)+next)
	cs.Set(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonDeleting, "It is being deleted and waits for what holds it.")
}

// ReferencedUnknown adds the condition of an object that is being deleted while its holders are unknown.
func (cs *Conditions) ReferencedUnknown() {
	cs.Set(v1alpha1.ConditionReferenced, metav1.ConditionUnknown, v1alpha1.ReasonHoldersUnknown, "nfo cannot find out which objects reference it; DeletionBlocked says why.")
}

// Doubted adds the conditions of a store or version that is being deleted while its holders are unknown.
func (cs *Conditions) Doubted(why error) {
	cs.ReferencedUnknown()
	cs.Set(v1alpha1.ConditionDeletionBlocked, metav1.ConditionTrue, v1alpha1.ReasonHoldersUnknown, "This object may be in use: "+Explain(why))
	cs.Set(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonDeleting, "It is being deleted; DeletionBlocked says what it waits for.")
}

// Apply merges the pass's conditions into an object's, each with the object's generation. It ignores a condition that a later
// one of its type replaces: if it applied both, each pass would set the time of the transition and so write the status.
func (cs Conditions) Apply(to *[]metav1.Condition, generation int64) {
	for i, c := range cs {
		if slices.ContainsFunc(cs[i+1:], func(later metav1.Condition) bool { return later.Type == c.Type }) {
			continue
		}
		c.ObservedGeneration = generation
		apimeta.SetStatusCondition(to, c)
	}
	slices.SortFunc(*to, func(a, b metav1.Condition) int { return cmp.Compare(a.Type, b.Type) })
}

// Protect adds the finalizer to an object that is not being deleted. It updates
// the object in place, so that the pass continues with the server's answer.
func Protect(ctx context.Context, c client.Client, o client.Object) error {
	if !o.GetDeletionTimestamp().IsZero() || controllerutil.ContainsFinalizer(o, v1alpha1.Finalizer) {
		return nil
	}
	patch := client.MergeFromWithOptions(Clone(o), client.MergeFromWithOptimisticLock{})
	controllerutil.AddFinalizer(o, v1alpha1.Finalizer)
	return c.Patch(ctx, o, patch)
}

// Clone copies an object. The type assertion cannot fail: DeepCopyObject returns the same type.
func Clone[T client.Object](o T) T { return o.DeepCopyObject().(T) }

package controller

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

// maxMessage is the API's bound on a condition's message, in bytes.
const maxMessage = 32768

// conditions collects what one pass decided.
type conditions []metav1.Condition

func (cs *conditions) set(kind string, status metav1.ConditionStatus, reason, message string) {
	*cs = append(*cs, metav1.Condition{Type: kind, Status: status, Reason: reason, Message: v1alpha1.Clip(message, maxMessage)})
}

// referenced adds the condition that tells of holders.
func (cs *conditions) referenced(subject reference.Object, holders []reference.Holder) {
	if len(holders) == 0 {
		cs.set(v1alpha1.ConditionReferenced, metav1.ConditionFalse, v1alpha1.ReasonUnreferenced, "Nothing holds it.")
		return
	}
	cs.set(v1alpha1.ConditionReferenced, metav1.ConditionTrue, v1alpha1.ReasonInUse, reference.Refusal(subject, holders))
}

// blocked adds the conditions of an object that is being deleted and held.
func (cs *conditions) blocked(subject reference.Object, holders []reference.Holder) {
	cs.set(v1alpha1.ConditionDeletionBlocked, metav1.ConditionTrue, v1alpha1.ReasonInUse,
		reference.Refusal(subject, holders)+". It goes by itself when these are deleted.")
	cs.set(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonDeleting, "It is being deleted and waits for what holds it.")
}

// doubted adds the conditions of an object that is being deleted while it is unknown what holds it.
func (cs *conditions) doubted(why error) {
	cs.set(v1alpha1.ConditionDeletionBlocked, metav1.ConditionTrue, v1alpha1.ReasonHoldersUnknown, "This object may be in use: "+explain(why))
	cs.set(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonDeleting, "It is being deleted; DeletionBlocked says what it waits for.")
}

// apply merges the pass's conditions into an object's, each with the object's generation.
func (cs conditions) apply(to *[]metav1.Condition, generation int64) {
	for _, c := range cs {
		c.ObservedGeneration = generation
		apimeta.SetStatusCondition(to, c)
	}
	slices.SortFunc(*to, func(a, b metav1.Condition) int { return cmp.Compare(a.Type, b.Type) })
}

// hold puts the finalizer on an object that is not being deleted. It changes the object in
// place, so that the pass goes on with the server's answer.
func hold(ctx context.Context, c client.Client, o client.Object) error {
	if !o.GetDeletionTimestamp().IsZero() || controllerutil.ContainsFinalizer(o, v1alpha1.Finalizer) {
		return nil
	}
	patch := client.MergeFromWithOptions(clone(o), client.MergeFromWithOptimisticLock{})
	controllerutil.AddFinalizer(o, v1alpha1.Finalizer)
	return c.Patch(ctx, o, patch)
}

// release takes the finalizer off. An object that has gone is let go already.
func release(ctx context.Context, c client.Client, o client.Object) error {
	if !controllerutil.ContainsFinalizer(o, v1alpha1.Finalizer) {
		return nil
	}
	patch := client.MergeFromWithOptions(clone(o), client.MergeFromWithOptimisticLock{})
	controllerutil.RemoveFinalizer(o, v1alpha1.Finalizer)
	return client.IgnoreNotFound(c.Patch(ctx, o, patch))
}

// clone copies an object. The assertion cannot fail: DeepCopyObject returns the same type.
func clone[T client.Object](o T) T { return o.DeepCopyObject().(T) }

func orphaned(o client.Object) bool {
	return o.GetAnnotations()[v1alpha1.AnnotationOnDelete] == v1alpha1.OnDeleteOrphan
}

func unknownOnDelete(o client.Object) bool {
	v, set := o.GetAnnotations()[v1alpha1.AnnotationOnDelete]
	return set && v != v1alpha1.OnDeleteOrphan
}

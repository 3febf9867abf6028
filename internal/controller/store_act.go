package controller

import (
	"context"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/purge"
)

// fieldOwner owns, in server-side apply, the fields of what the manager makes for a store.
const fieldOwner = client.FieldOwner("nfo-manager")

// act keeps the purge's objects: the CronJob and the identity that its pods run under. What
// was edited or deleted by hand is healed. They go with the store, which owns them.
func (r *StoreReconciler) act(ctx context.Context, s *v1alpha1.ArtifactStore, v storeVerdict) error {
	if !v.scheduled {
		return nil
	}
	for _, want := range purge.Objects(s, r.purger) {
		if err := r.keep(ctx, want); err != nil {
			return fmt.Errorf("keeping %T %s: %w", want, want.GetName(), err)
		}
	}
	if s.Spec.Purge.CronSchedule() != "" {
		return nil
	}
	job := &batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: purge.ObjectName(s.Name)}}
	if err := r.Get(ctx, client.ObjectKeyFromObject(job), job); err != nil {
		return client.IgnoreNotFound(err)
	}
	if !metav1.IsControlledBy(job, s) {
		return nil
	}
	return client.IgnoreNotFound(r.Delete(ctx, job))
}

// keep applies an object unless the cache shows that it is as wanted.
func (r *StoreReconciler) keep(ctx context.Context, want client.Object) error {
	have := clone(want)
	err := r.Get(ctx, client.ObjectKeyFromObject(want), have)
	if err == nil && asWanted(want, have) {
		return nil
	}
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	gvk, err := apiutil.GVKForObject(want, r.Scheme())
	if err != nil {
		return err
	}
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(want)
	if err != nil {
		return err
	}
	u := &unstructured.Unstructured{Object: fields}
	u.SetGroupVersionKind(gvk)
	unstructured.RemoveNestedField(u.Object, "status")
	return r.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), fieldOwner, client.ForceOwnership)
}

// asWanted compares only what is wanted: the API server adds defaults to the rest.
func asWanted(want, have client.Object) bool {
	if !equality.Semantic.DeepDerivative(want.GetLabels(), have.GetLabels()) || !equality.Semantic.DeepDerivative(want.GetOwnerReferences(), have.GetOwnerReferences()) {
		return false
	}
	switch want := want.(type) {
	case *batchv1.CronJob:
		have, ok := have.(*batchv1.CronJob)
		return ok && equality.Semantic.DeepDerivative(want.Spec, have.Spec) && samePod(want.Spec.JobTemplate.Spec.Template.Spec, have.Spec.JobTemplate.Spec.Template.Spec)
	case *rbacv1.Role:
		have, ok := have.(*rbacv1.Role)
		return ok && equality.Semantic.DeepEqual(want.Rules, have.Rules)
	case *rbacv1.RoleBinding:
		have, ok := have.(*rbacv1.RoleBinding)
		return ok && equality.Semantic.DeepDerivative(want.RoleRef, have.RoleRef) && equality.Semantic.DeepDerivative(want.Subjects, have.Subjects)
	}
	return true
}

// samePod compares what may be wanted empty, which to DeepDerivative is not wanted at all.
func samePod(want, have corev1.PodSpec) bool {
	if len(want.Containers) != len(have.Containers) || !equality.Semantic.DeepEqual(want.Volumes, have.Volumes) {
		return false
	}
	for i := range want.Containers {
		if !sameContainer(want.Containers[i], have.Containers[i]) {
			return false
		}
	}
	return true
}

func sameContainer(want, have corev1.Container) bool {
	return equality.Semantic.DeepEqual(want.Args, have.Args) &&
		equality.Semantic.DeepEqual(want.VolumeMounts, have.VolumeMounts) &&
		equality.Semantic.DeepEqual(want.Resources, have.Resources) &&
		memoryOf(want) == memoryOf(have)
}

// memoryOf is what a container tells the Go runtime of its memory, "" for nothing. Variables that
// others have added are theirs.
func memoryOf(c corev1.Container) string {
	for _, v := range c.Env {
		if v.Name == purge.MemoryVariable {
			return v.Value
		}
	}
	return ""
}

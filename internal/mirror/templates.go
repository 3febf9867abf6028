package mirror

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// templatesPage and templatesPages bound what is read of each kind that makes pods.
const (
	templatesPage  = 50
	templatesPages = 20
)

// makers are the kinds that can have a template without a pod: suspended, not due, or scaled to zero.
var makers = []client.ObjectList{&batchv1.CronJobList{}, &batchv1.JobList{}, &appsv1.DeploymentList{}, &appsv1.StatefulSetList{}, &appsv1.DaemonSetList{}}

// podsOf are the pods that those in a list of makers would make.
func podsOf(list client.ObjectList) []corev1.PodSpec {
	switch l := list.(type) {
	case *batchv1.CronJobList:
		return specs(l.Items, func(o *batchv1.CronJob) *corev1.PodTemplateSpec { return &o.Spec.JobTemplate.Spec.Template })
	case *batchv1.JobList:
		return specs(l.Items, func(o *batchv1.Job) *corev1.PodTemplateSpec { return &o.Spec.Template })
	case *appsv1.DeploymentList:
		return specs(l.Items, func(o *appsv1.Deployment) *corev1.PodTemplateSpec { return &o.Spec.Template })
	case *appsv1.StatefulSetList:
		return specs(l.Items, func(o *appsv1.StatefulSet) *corev1.PodTemplateSpec { return &o.Spec.Template })
	case *appsv1.DaemonSetList:
		return specs(l.Items, func(o *appsv1.DaemonSet) *corev1.PodTemplateSpec { return &o.Spec.Template })
	}
	return nil
}

func specs[T any](items []T, template func(*T) *corev1.PodTemplateSpec) []corev1.PodSpec {
	all := make([]corev1.PodSpec, 0, len(items))
	for i := range items {
		all = append(all, template(&items[i]).Spec)
	}
	return all
}

// templateSecrets are the pull secrets of the templates of a namespace that use an image. A kind that the operator may not
// list there has none: the right is the administrator's to give, and other logins are tried without it.
func (m *Mirror) templateSecrets(ctx context.Context, q Question) (names []string, err error) {
	for _, kind := range makers {
		found, err := m.secretsOf(ctx, q, kind)
		if err != nil && !apierrors.IsForbidden(err) {
			return nil, fmt.Errorf("listing what makes pods in %s: %w", q.Namespace, err)
		}
		names = appendNames(names, found)
	}
	return names, nil
}

// secretsOf are those of the templates of one kind.
func (m *Mirror) secretsOf(ctx context.Context, q Question, kind client.ObjectList) (found []corev1.LocalObjectReference, err error) {
	next := ""
	for range templatesPages {
		page := kind.DeepCopyObject().(client.ObjectList) // a list that was read into before would keep parts of it
		if err := m.o.API.List(ctx, page, client.InNamespace(q.Namespace), client.Limit(templatesPage), client.Continue(next)); err != nil {
			return found, err
		}
		for _, spec := range podsOf(page) {
			if uses(&corev1.Pod{Spec: spec}, q.Image, q.Mirror.Spec.Mirror.PullAddress) {
				found = append(found, spec.ImagePullSecrets...)
			}
		}
		if next = page.GetContinue(); next == "" {
			break
		}
	}
	return found, nil
}

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

// templates are a list of objects of a kind that makes pods, and the pods that those in it would make.
type templates struct {
	list client.ObjectList
	pods func() []corev1.PodSpec
}

// makers are the kinds that can have a template without a pod: suspended, not due, or scaled to zero.
func makers() []templates {
	var cronJobs batchv1.CronJobList
	var jobs batchv1.JobList
	var deployments appsv1.DeploymentList
	var statefulSets appsv1.StatefulSetList
	var daemonSets appsv1.DaemonSetList
	return []templates{
		{&cronJobs, func() []corev1.PodSpec {
			return specs(cronJobs.Items, func(o *batchv1.CronJob) *corev1.PodTemplateSpec { return &o.Spec.JobTemplate.Spec.Template })
		}},
		{&jobs, func() []corev1.PodSpec {
			return specs(jobs.Items, func(o *batchv1.Job) *corev1.PodTemplateSpec { return &o.Spec.Template })
		}},
		{&deployments, func() []corev1.PodSpec {
			return specs(deployments.Items, func(o *appsv1.Deployment) *corev1.PodTemplateSpec { return &o.Spec.Template })
		}},
		{&statefulSets, func() []corev1.PodSpec {
			return specs(statefulSets.Items, func(o *appsv1.StatefulSet) *corev1.PodTemplateSpec { return &o.Spec.Template })
		}},
		{&daemonSets, func() []corev1.PodSpec {
			return specs(daemonSets.Items, func(o *appsv1.DaemonSet) *corev1.PodTemplateSpec { return &o.Spec.Template })
		}},
	}
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
	for _, t := range makers() {
		found, err := m.secretsOf(ctx, q, t)
		if err != nil && !apierrors.IsForbidden(err) {
			return nil, fmt.Errorf("listing what makes pods in %s: %w", q.Namespace, err)
		}
		names = appendNames(names, found)
	}
	return names, nil
}

// secretsOf are those of the templates of one kind.
func (m *Mirror) secretsOf(ctx context.Context, q Question, t templates) (found []corev1.LocalObjectReference, err error) {
	for range templatesPages {
		if err := m.o.API.List(ctx, t.list, client.InNamespace(q.Namespace), client.Limit(templatesPage), client.Continue(t.list.GetContinue())); err != nil {
			return found, err
		}
		for _, spec := range t.pods() {
			if uses(&corev1.Pod{Spec: spec}, q.Image, q.Mirror.Spec.Mirror.PullAddress) {
				found = append(found, spec.ImagePullSecrets...)
			}
		}
		if t.list.GetContinue() == "" {
			break
		}
	}
	return found, nil
}

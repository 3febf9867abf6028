package removal

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/purge/cronjob"
)

const purges = "purges"

var cronJob = batchv1.SchemeGroupVersion.WithKind("CronJob")

// identity are the kinds that purges get their rights from, the kind that grants first.
var identity = []schema.GroupVersionKind{
	rbacv1.SchemeGroupVersion.WithKind("RoleBinding"),
	rbacv1.SchemeGroupVersion.WithKind("Role"),
	corev1.SchemeGroupVersion.WithKind("ServiceAccount"),
}

// removePurges makes sure that no purge runs or starts, and deletes the objects
// that purges run from. If a purge may still run, the objects that it needs stay.
func (r *remover) removePurges(ctx context.Context) error {
	all, err := r.made(ctx, cronJob)
	if err != nil {
		return err
	}
	var failed []error
	for i := range all {
		failed = append(failed, r.suspend(ctx, &all[i]))
	}
	if err := errors.Join(append(failed, r.awaitJobs(ctx, all))...); err != nil {
		return err
	}
	// In the foreground: a CronJob is deleted after its jobs and their pods.
	if err := r.deleteAll(ctx, cronJob, all, client.PropagationPolicy(metav1.DeletePropagationForeground)); err != nil {
		return err
	}
	if !r.DryRun {
		if err := r.until(ctx, purges, r.cronJobs); err != nil {
			return fmt.Errorf("%w; a pod whose node is gone permanently: kubectl delete pod -n NAMESPACE NAME --force%s", err, again)
		}
	}
	for _, kind := range identity {
		all, err := r.made(ctx, kind)
		failed = append(failed, err, r.deleteAll(ctx, kind, all))
	}
	return errors.Join(failed...)
}

// made lists the objects of one kind that the manager made for its stores.
func (r *remover) made(ctx context.Context, kind schema.GroupVersionKind) ([]metav1.PartialObjectMetadata, error) {
	var all []metav1.PartialObjectMetadata
	err := r.pages(ctx, kind, client.MatchingLabels(cronjob.Labels()), func(items []metav1.PartialObjectMetadata, _, _ int64) error {
		for _, o := range items {
			owner := metav1.GetControllerOf(&o)
			if owner == nil || owner.Kind != v1alpha1.KindArtifactStore {
				continue
			}
			if gv, err := schema.ParseGroupVersion(owner.APIVersion); err == nil && gv.Group == v1alpha1.GroupVersion.Group {
				all = append(all, o)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w; by hand: kubectl delete %s -A -l %s%s", purges, err, strings.ToLower(kind.Kind), selector(), again)
	}
	return all, nil
}

func selector() string {
	return metav1.FormatLabelSelector(&metav1.LabelSelector{MatchLabels: cronjob.Labels()})
}

func (r *remover) suspend(ctx context.Context, o *metav1.PartialObjectMetadata) error {
	if !r.DryRun {
		err := r.Client.Patch(ctx, o, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"suspend":true}}`)))
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("suspending CronJob %s/%s: %w; by hand: kubectl delete cronjob -n %s %s%s", o.Namespace, o.Name, err, o.Namespace, o.Name, again)
		}
	}
	r.did(purges, "suspended", fmt.Sprintf("CronJob %s/%s", o.Namespace, o.Name))
	return nil
}

// deleteAll deletes these objects, but no object that was created since with the same name.
func (r *remover) deleteAll(ctx context.Context, kind schema.GroupVersionKind, all []metav1.PartialObjectMetadata, opts ...client.DeleteOption) error {
	var failed []error
	for i := range all {
		o := &all[i]
		if !r.DryRun {
			err := ignoreGone(r.Client.Delete(ctx, o, append(opts, client.Preconditions{UID: &o.UID})...))
			if err != nil {
				failed = append(failed, fmt.Errorf("deleting %s %s/%s: %w; by hand: kubectl delete %s -n %s %s%s",
					kind.Kind, o.Namespace, o.Name, err, strings.ToLower(kind.Kind), o.Namespace, o.Name, again))
				continue
			}
		}
		r.did(purges, "deleted", fmt.Sprintf("%s %s/%s (%d of %d)", kind.Kind, o.Namespace, o.Name, i+1, len(all)))
	}
	return errors.Join(failed...)
}

// ignoreGone returns nil if the object no longer exists, even if another one has its name.
func ignoreGone(err error) error {
	if apierrors.IsConflict(err) {
		return nil
	}
	return client.IgnoreNotFound(err)
}

// cronJobs returns the CronJobs that still exist, or "" if there are none.
func (r *remover) cronJobs(ctx context.Context) (string, error) {
	all, err := r.made(ctx, cronJob)
	var names []string
	for _, o := range all {
		names = append(names, fmt.Sprintf("CronJob %s/%s", o.Namespace, o.Name))
	}
	return enumerate(names), err
}

// awaitJobs waits until no purge of these CronJobs runs. After half of the remaining time
// it ends them, which is safe at any moment; a purge takes up to two minutes to end.
func (r *remover) awaitJobs(ctx context.Context, cronJobs []metav1.PartialObjectMetadata) error {
	half := time.Now().Add(time.Until(r.deadline) / 2)
	err := r.until(ctx, purges, func(ctx context.Context) (string, error) {
		running, err := r.runningJobs(ctx, cronJobs)
		var names []string
		for i := range running {
			j := &running[i]
			names = append(names, fmt.Sprintf("Job %s/%s", j.Namespace, j.Name))
			if !r.DryRun && err == nil && j.DeletionTimestamp.IsZero() && time.Now().After(half) {
				err = r.endJob(ctx, j)
			}
		}
		return enumerate(names), err
	})
	if err != nil {
		return fmt.Errorf("%w; kubectl describe job says why. A pod whose node is gone permanently: kubectl delete pod -n NAMESPACE NAME --force%s", err, again)
	}
	return nil
}

// endJob deletes a job in the foreground: the job is deleted after its pods have ended.
func (r *remover) endJob(ctx context.Context, j *batchv1.Job) error {
	if err := ignoreGone(r.Client.Delete(ctx, j, client.PropagationPolicy(metav1.DeletePropagationForeground), client.Preconditions{UID: &j.UID})); err != nil {
		return fmt.Errorf("ending Job %s/%s: %w", j.Namespace, j.Name, err)
	}
	r.did(purges, "ended", fmt.Sprintf("Job %s/%s, which has not within half of the time", j.Namespace, j.Name))
	return nil
}

// runningJobs returns the purges of these CronJobs that have not ended, including those started with
// `kubectl create job --from`. It checks the owner, because other Jobs may have the same labels.
func (r *remover) runningJobs(ctx context.Context, cronJobs []metav1.PartialObjectMetadata) (running []batchv1.Job, err error) {
	owners := map[types.UID]bool{}
	for _, c := range cronJobs {
		owners[c.UID] = true
	}
	for token := ""; ; {
		var page batchv1.JobList
		if err := r.Client.List(ctx, &page, client.MatchingLabels(cronjob.Labels()), client.Limit(pageSize), client.Continue(token)); err != nil {
			return nil, fmt.Errorf("listing jobs: %w", err)
		}
		for _, j := range page.Items {
			if !ended(j) && owners[cronjob.OwnerCronJob(&j).UID] {
				running = append(running, j)
			}
		}
		if token = page.Continue; token == "" {
			return running, nil
		}
	}
}

// ended reports whether a job has no running pod and will start none.
func ended(j batchv1.Job) bool {
	for _, c := range j.Status.Conditions {
		if (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) && c.Status == corev1.ConditionTrue {
			return true
		}
	}
	return false
}

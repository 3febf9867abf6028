package cronjob

import (
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// FieldOwner is the field manager of the objects that the manager creates for a store.
const FieldOwner = client.FieldOwner("nfo-manager")

// ScheduledSince returns when the manager last changed the CronJob, or when it was
// created. Runs that were due before that, by another schedule or while the CronJob was
// suspended, are not expected: Kubernetes starts missed runs of the last hour only.
func ScheduledSince(cron *batchv1.CronJob) time.Time {
	since := cron.CreationTimestamp.Time
	for _, f := range cron.ManagedFields {
		if f.Manager == string(FieldOwner) && f.Subresource == "" && f.Time != nil && f.Time.After(since) {
			since = f.Time.Time
		}
	}
	return since
}

// DryRunFlag is the flag that makes a purge a dry run.
const DryRunFlag = "--dry-run"

// OwnerCronJob returns the CronJob that owns a Job, or the zero reference if there is
// none. `kubectl create job --from` sets the owner as the CronJob controller does.
func OwnerCronJob(j client.Object) metav1.OwnerReference {
	for _, o := range j.GetOwnerReferences() {
		if o.Kind == "CronJob" && strings.HasPrefix(o.APIVersion, batchv1.GroupName+"/") {
			return o
		}
	}
	return metav1.OwnerReference{}
}

// LooksOnly reports whether a Job has the flag --dry-run, so that it purges nothing.
func LooksOnly(j *batchv1.Job) bool {
	return slices.ContainsFunc(j.Spec.Template.Spec.Containers, func(c corev1.Container) bool {
		return slices.Contains(c.Args, DryRunFlag) || slices.Contains(c.Args, DryRunFlag+"=true")
	})
}

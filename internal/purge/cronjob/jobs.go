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

// FieldOwner is the manager's name in the managed fields of the objects that it makes for a store.
const FieldOwner = client.FieldOwner("nfo-manager")

// ScheduledSince is when the manager changed the CronJob last, or else when it was created. What was due
// before that, by another schedule or while the CronJob was suspended, is not asked for: Kubernetes makes
// up for the last hour only.
func ScheduledSince(cron *batchv1.CronJob) time.Time {
	since := cron.CreationTimestamp.Time
	for _, f := range cron.ManagedFields {
		if f.Manager == string(FieldOwner) && f.Subresource == "" && f.Time != nil && f.Time.After(since) {
			since = f.Time.Time
		}
	}
	return since
}

// DryRunFlag makes a purge only look.
const DryRunFlag = "--dry-run"

// OwnerCronJob is the CronJob that owns a Job, the zero reference without one. `kubectl create job
// --from` sets it as the CronJob's own controller does.
func OwnerCronJob(j client.Object) metav1.OwnerReference {
	for _, o := range j.GetOwnerReferences() {
		if o.Kind == "CronJob" && strings.HasPrefix(o.APIVersion, batchv1.GroupName+"/") {
			return o
		}
	}
	return metav1.OwnerReference{}
}

// LooksOnly is true for a Job that somebody gave --dry-run: it purges nothing, whatever becomes of it.
func LooksOnly(j *batchv1.Job) bool {
	return slices.ContainsFunc(j.Spec.Template.Spec.Containers, func(c corev1.Container) bool {
		return slices.Contains(c.Args, DryRunFlag) || slices.Contains(c.Args, DryRunFlag+"=true")
	})
}

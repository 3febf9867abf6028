package cronjob

import (
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestScheduledSince(t *testing.T) {
	t.Parallel()
	created := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	changed := func(by, subresource string, after time.Duration) metav1.ManagedFieldsEntry {
		return metav1.ManagedFieldsEntry{Manager: by, Subresource: subresource, Time: &metav1.Time{Time: created.Add(after)}}
	}
	for name, tt := range map[string]struct {
		reason string
		fields []metav1.ManagedFieldsEntry
		want   time.Duration
	}{
		"Created":   {"nobody changed it", nil, 0},
		"Changed":   {"the manager changed the schedule", []metav1.ManagedFieldsEntry{changed(string(FieldOwner), "", time.Hour)}, time.Hour},
		"Others":    {"a label of somebody else moves no run", []metav1.ManagedFieldsEntry{changed("kubectl", "", time.Hour)}, 0},
		"Status":    {"each run changes the status", []metav1.ManagedFieldsEntry{changed(string(FieldOwner), "status", time.Hour)}, 0},
		"NoTime":    {"an entry need not say when", []metav1.ManagedFieldsEntry{{Manager: string(FieldOwner)}}, 0},
		"ClockBack": {"a change is not before the creation", []metav1.ManagedFieldsEntry{changed(string(FieldOwner), "", -time.Hour)}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := &batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.Time{Time: created}, ManagedFields: tt.fields}}
			if got := ScheduledSince(c).Sub(created); got != tt.want {
				t.Errorf("%s: %s after the creation, want %s", tt.reason, got, tt.want)
			}
		})
	}
}

func TestOwnerCronJob(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		reason string
		owner  metav1.OwnerReference
		want   string
	}{
		"CronJob": {"made by the schedule or by kubectl create job --from", metav1.OwnerReference{APIVersion: "batch/v1", Kind: "CronJob", Name: "acme-purge"}, "acme-purge"},
		"Other":   {"a Workflow may own Jobs too", metav1.OwnerReference{APIVersion: "argoproj.io/v1alpha1", Kind: "Workflow", Name: "acme-purge"}, ""},
		"Foreign": {"the kind CronJob of another group", metav1.OwnerReference{APIVersion: "example.com/v1", Kind: "CronJob", Name: "acme-purge"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod"}, tt.owner}}}
			if got := OwnerCronJob(j).Name; got != tt.want {
				t.Errorf("%s: owner %q, want %q", tt.reason, got, tt.want)
			}
		})
	}
	if got := OwnerCronJob(&batchv1.Job{}); got != (metav1.OwnerReference{}) {
		t.Errorf("a Job by hand is owned by %v", got)
	}
}

func TestLooksOnly(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		args []string
		want bool
	}{
		"Purges": {[]string{"purge", "--store=acme"}, false},
		"Looks":  {[]string{"purge", DryRunFlag}, true},
		"True":   {[]string{"purge", DryRunFlag + "=true"}, true},
		"False":  {[]string{"purge", DryRunFlag + "=false"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := &batchv1.Job{}
			j.Spec.Template.Spec.Containers = []corev1.Container{{Args: tt.args}}
			if got := LooksOnly(j); got != tt.want {
				t.Errorf("%q only looks: %t", tt.args, got)
			}
		})
	}
}

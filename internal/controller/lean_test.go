package controller

import (
	"strings"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/purge/cronjob"
)

func TestLeanChangesNothingButManagedFields(t *testing.T) {
	t.Parallel()
	meta := metav1.ObjectMeta{Name: "m", Finalizers: []string{v1alpha1.Finalizer}, ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubectl"}}}
	said := func() []metav1.Condition {
		return []metav1.Condition{{Type: "Ready", Status: metav1.ConditionTrue, Reason: "Complete", Message: strings.Clone("All is there.")}}
	}
	for name, o := range map[string]client.Object{
		"Manifest":   &v1alpha1.ArtifactManifest{ObjectMeta: meta, Status: v1alpha1.ArtifactManifestStatus{Conditions: said(), Artifacts: []v1alpha1.ArtifactStatus{{MediaType: "a/b"}}}},
		"Definition": &v1alpha1.NetworkFunctionDefinitionVersion{ObjectMeta: meta, Status: v1alpha1.DefinitionStatus{VersionStatus: v1alpha1.VersionStatus{Conditions: said()}}},
		"Tombstone":  &v1alpha1.Tombstone{ObjectMeta: meta, Status: v1alpha1.TombstoneStatus{Conditions: said()}},
		"Store":      &v1alpha1.ArtifactStore{ObjectMeta: meta},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := o.DeepCopyObject().(client.Object) // rows share what is below their metadata
			want := o.DeepCopyObject().(client.Object)
			want.SetManagedFields(nil)
			got, err := lean(o)
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Errorf("the cache has another object than the API server (-want +got, %v):\n%s", err, diff)
			}
		})
	}
}

// transformOf is what the manager's cache does to objects of a kind.
func transformOf[T client.Object](t *testing.T) toolscache.TransformFunc {
	t.Helper()
	for o, by := range madeByUs(nil) {
		if _, ok := o.(T); ok && by.Transform != nil {
			return by.Transform
		}
	}
	t.Fatal("the cache keeps the kind as it is")
	return nil
}

func TestLeanCronJobKeepsWhenWeChangedIt(t *testing.T) {
	t.Parallel()
	at := metav1.Unix(1000, 0)
	job := &batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{ManagedFields: []metav1.ManagedFieldsEntry{
		{Manager: "nfo-manager", Operation: metav1.ManagedFieldsOperationApply, Time: &at, FieldsV1: metav1.NewFieldsV1(`{"f:spec":{}}`)},
		{Manager: "kube-controller-manager", Subresource: "status", Time: new(metav1.Unix(2000, 0))},
	}}}
	job.Spec.Schedule = "0 0 * * *"
	want := job.DeepCopy()
	want.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "nfo-manager", Operation: metav1.ManagedFieldsOperationApply, Time: &at}}
	got, err := transformOf[*batchv1.CronJob](t)(job)
	if diff := cmp.Diff(client.Object(want), got); diff != "" || err != nil {
		t.Errorf("-want +got, %v:\n%s", err, diff)
	}
	if since := cronjob.ScheduledSince(job); !since.Equal(at.Time) {
		t.Errorf("it is scheduled since %s", since)
	}
}

// Anybody may make Jobs with our labels: of any size, and many.
func TestLeanJobKeepsLittle(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason string
		args   []string
		looks  bool
	}{
		"Purge":   {"a run", []string{"purge", "--store=acme"}, false},
		"DryRun":  {"a run that only looks", []string{"purge", "--store=acme", "--dry-run"}, true},
		"DryTrue": {"and is so in full", []string{"purge", "--dry-run=true"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "j", Annotations: map[string]string{"big": strings.Repeat("x", 1000)}}}
			job.Spec.Suspend, job.Status.Active = new(true), 1
			job.Spec.Template.Spec.Containers = []corev1.Container{{Name: "purge", Image: strings.Repeat("x", 1000), Args: tc.args}}
			if _, err := transformOf[*batchv1.Job](t)(job); err != nil {
				t.Fatal(err)
			}
			if !*job.Spec.Suspend || job.Status.Active != 1 || cronjob.LooksOnly(job) != tc.looks {
				t.Errorf("%s: suspended %t, active %d, looks only %t", tc.reason, *job.Spec.Suspend, job.Status.Active, cronjob.LooksOnly(job))
			}
			if size := job.Size(); size > 200 {
				t.Errorf("%s: it keeps %d bytes: %+v", tc.reason, size, job)
			}
		})
	}
}

func TestLeanKeepsEqualWordsOnce(t *testing.T) {
	t.Parallel()
	words := func() *byte {
		m := &v1alpha1.ArtifactManifest{}
		m.Status.Conditions = []metav1.Condition{{Message: strings.Clone("All is there.")}}
		if _, err := lean(m); err != nil {
			t.Fatal(err)
		}
		return unsafe.StringData(m.Status.Conditions[0].Message)
	}
	if one, other := words(), words(); one != other {
		t.Error("two objects that say the same keep it twice")
	}
}

package controller

import (
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
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
	held, definition := aHeldManifest()
	for name, o := range map[string]client.Object{
		"Held":       held,
		"Holder":     definition,
		"Grave":      aGrave(),
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

// aGrave returns a tombstone with every field set.
func aGrave() *v1alpha1.Tombstone {
	at := metav1.Unix(1_700_000_000, 0)
	t := &v1alpha1.Tombstone{ObjectMeta: metav1.ObjectMeta{Namespace: "publisher", Name: "m-1"}}
	t.Spec = v1alpha1.TombstoneSpec{
		RegistryURL: "https://registry.example.com/acme", Cause: v1alpha1.CauseReleased, GracePeriod: metav1.Duration{Duration: time.Hour},
		Manifest:  v1alpha1.TombstoneManifest{Name: "m", UID: "u", Spec: v1alpha1.ArtifactManifestSpec{Artifacts: []v1alpha1.ManifestArtifact{{ArtifactName: "upf", ArtifactVersion: "1.0.0"}}}},
		Artifacts: []v1alpha1.TombstoneArtifact{{Repository: "acme/m/upf", Tag: "1.0.0", Digests: []string{"sha256:1", "sha256:2"}, MediaType: "a/b", Size: 1}},
	}
	t.Status.Artifacts = []v1alpha1.TombstoneArtifactStatus{{
		Repository: "acme/m/upf", Tag: "1.0.0", UntaggedAt: &at, State: v1alpha1.TombstoneKept, MissingSince: &at, Deleted: []string{"sha256:1"}, Reason: "Tagged: by hand",
	}}
	t.Status.RestorableUntil = &at
	say(&t.Status.Conditions, map[string]string{"Restorable": "acme/m/upf can be restored."})
	return t
}

// transformOf returns the transform that the manager's cache applies to objects of a kind.
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

// Anybody may create Jobs with nfo's labels, of any size and number.
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

// The metadata of anybody's objects is kept, and its annotations can have any size.
func TestLeanMetadataKeepsLittle(t *testing.T) {
	t.Parallel()
	o := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Name: "ran", Labels: map[string]string{"team": "ran"}, OwnerReferences: []metav1.OwnerReference{{Name: "up"}},
		Annotations: map[string]string{"big": strings.Repeat("x", 1000), v1alpha1.AnnotationObjectsRestored: ""},
	}}
	if _, err := lean(o); err != nil {
		t.Fatal(err)
	}
	if _, restored := o.Annotations[v1alpha1.AnnotationObjectsRestored]; !restored || len(o.Annotations) != 1 || o.Labels["team"] != "ran" || o.OwnerReferences != nil {
		t.Errorf("kept are %+v", o.ObjectMeta)
	}
}

// A decoded object has each string in its own memory, and slices with room to grow.
func TestLeanPacksWhatOneObjectSays(t *testing.T) {
	t.Parallel()
	held, definition := aHeldManifest()
	decode := func(from, to client.Object) {
		data, err := json.Marshal(from)
		if err == nil {
			err = json.Unmarshal(data, to)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	m, d := &v1alpha1.ArtifactManifest{}, &v1alpha1.NetworkFunctionDefinitionVersion{}
	decode(held, m)
	decode(definition, d)
	m.Status.Artifacts, d.Status.Applications[0].Images = slices.Grow(m.Status.Artifacts, 1), slices.Grow(d.Status.Applications[0].Images, 1)
	for _, o := range []client.Object{m, d} {
		if _, err := lean(o); err != nil {
			t.Fatal(err)
		}
	}
	artifact, image := m.Status.Artifacts[0], m.Status.Charts[0].Images[0]
	if unsafe.StringData(artifact.Digest) != unsafe.StringData(image.Digest) || unsafe.StringData(artifact.Repository) != unsafe.StringData(image.Repository) {
		t.Error("a manifest keeps the digest and repository of an image twice")
	}
	if unsafe.StringData(m.Spec.Artifacts[0].ArtifactVersion) != unsafe.StringData(m.Spec.Artifacts[1].ArtifactVersion) {
		t.Error("a manifest keeps a version once for each artifact")
	}
	if len(m.Status.Artifacts) != cap(m.Status.Artifacts) || len(d.Status.Applications[0].Images) != cap(d.Status.Applications[0].Images) {
		t.Errorf("%d artifacts take the room of %d, and %d images that of %d",
			len(m.Status.Artifacts), cap(m.Status.Artifacts), len(d.Status.Applications[0].Images), cap(d.Status.Applications[0].Images))
	}
}

func TestLeanKeepsEqualWordsOnce(t *testing.T) {
	t.Parallel()
	says := func() *v1alpha1.ArtifactManifest {
		m := &v1alpha1.ArtifactManifest{}
		m.Status.Conditions = []metav1.Condition{{Message: strings.Clone("All is there.")}}
		if _, err := lean(m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	one := says()
	for range 2 { // after this, memory without a reference is freed
		runtime.GC()
	}
	if other := says(); unsafe.StringData(one.Status.Conditions[0].Message) != unsafe.StringData(other.Status.Conditions[0].Message) {
		t.Error("two objects that say the same keep it twice")
	}
}

// Anybody can choose the strings of objects, so the number that is shared must be bounded.
func TestSharedWordsAreBounded(t *testing.T) {
	t.Parallel()
	s := &shared{all: map[string]string{}}
	for i := range 3 * maxWords {
		if word := fmt.Sprint(i); s.once(word) != word {
			t.Fatalf("%s is another word", word)
		}
	}
	long := strings.Repeat("x", maxWord+1)
	if got := s.once(long); got != long || len(s.all) > maxWords || s.all[long] != "" {
		t.Errorf("%d words are kept", len(s.all))
	}
}

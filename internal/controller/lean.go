package controller

import (
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/controller/version"
	"github.com/nfo-operator/nfo/internal/livelist"
	"github.com/nfo-operator/nfo/internal/purge/cronjob"
)

var stripManagedFields = cache.TransformStripManagedFields()

// lean makes an object smaller before the cache keeps it. It drops managedFields and what livelist.Trim
// drops, keeps strings that many objects contain only once, and packs the strings of one object.
func lean(o any) (any, error) {
	o, err := stripManagedFields(o)
	if err != nil {
		return o, err
	}
	if o, ok := o.(client.Object); ok {
		livelist.Trim(o)
		shareAll(o.GetFinalizers())
		o.SetNamespace(words.once(o.GetNamespace()))
	}
	switch o := o.(type) {
	case *v1alpha1.ArtifactManifest:
		shareConditions(&o.Status.Conditions)
		shareManifest(o)
		packManifest(o)
	case *v1alpha1.Tombstone:
		shareConditions(&o.Status.Conditions)
		for i := range o.Spec.Artifacts {
			share(&o.Spec.Artifacts[i].MediaType)
		}
		packTombstone(o)
	case *metav1.PartialObjectMetadata: // these can be objects of anybody
		o.OwnerReferences = nil
		livelist.KeepOwn(o.Annotations)
	case *v1alpha1.Artifact:
		shareConditions(&o.Status.Conditions)
		leanArtifact(o)
	case version.Version:
		shareConditions(&o.VersionStatus().Conditions)
		shareDependents(o.VersionStatus().Dependents)
		if d, ok := o.(*v1alpha1.NetworkFunctionDefinitionVersion); ok {
			packDefinition(d)
		}
	}
	return o, nil
}

// leanCronJob is lean, but keeps when the manager last changed the CronJob.
func leanCronJob(o any) (any, error) {
	job, ok := o.(*batchv1.CronJob)
	if !ok {
		return lean(o)
	}
	var ours []metav1.ManagedFieldsEntry
	for _, f := range job.ManagedFields {
		if f.Manager == string(cronjob.FieldOwner) {
			f.FieldsV1 = nil
			ours = append(ours, f)
		}
	}
	out, err := lean(job)
	job.ManagedFields = ours
	return out, err
}

// leanJob is lean, and keeps only what is needed to judge a run. Anybody
// with access to a namespace may create Jobs of any size with nfo's labels.
func leanJob(o any) (any, error) {
	job, ok := o.(*batchv1.Job)
	if !ok {
		return lean(o)
	}
	job.Annotations = nil
	spec := batchv1.JobSpec{Suspend: job.Spec.Suspend}
	if cronjob.LooksOnly(job) {
		spec.Template.Spec.Containers = []corev1.Container{{Args: []string{cronjob.DryRunFlag}}}
	}
	job.Spec = spec
	return lean(job)
}

func shareManifest(m *v1alpha1.ArtifactManifest) {
	share(&m.Spec.ArtifactStoreRef.Name)
	share(&m.Spec.ArtifactManifestState)
	share(&m.Spec.UploadPath)
	for i := range m.Spec.Artifacts {
		share(&m.Spec.Artifacts[i].ArtifactType)
	}
	for i := range m.Status.Artifacts {
		a := &m.Status.Artifacts[i]
		share(&a.MediaType)
		share(&a.ConfigMediaType)
		share(&a.State)
	}
	shareDependents(m.Status.Dependents)
}

// leanArtifact shares the strings that the Artifacts of many namespaces, and the users of one workload, have in common.
func leanArtifact(a *v1alpha1.Artifact) {
	share(&a.Spec.SourceArtifact)
	share(&a.Status.State)
	share(&a.Status.Repository)
	share(&a.Status.Digest)
	share(&a.Status.MediaType)
	for i := range a.Status.Users {
		share(&a.Status.Users[i].Kind)
		share(&a.Status.Users[i].Name)
		share(&a.Status.Users[i].Detail)
	}
}

func shareDependents(d v1alpha1.Dependents) {
	for i := range d.Dependents {
		share(&d.Dependents[i].Kind)
		share(&d.Dependents[i].Namespace)
	}
}

func shareConditions(all *[]metav1.Condition) {
	fit(all)
	for i := range *all {
		c := &(*all)[i]
		share(&c.Type)
		share(&c.Status)
		share(&c.Reason)
		if !about(*c) {
			share(&c.Message)
		}
	}
}

func shareAll(texts []string) {
	for i := range texts {
		share(&texts[i])
	}
}

package version

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/controller/pass"
	"github.com/nfo-operator/nfo/internal/reference"
)

// alternatives finds, for each artifact that a version references through a store, the store's manifests that list it.
func (r *Reconciler[T]) alternatives(ctx context.Context, named []reference.Reference) (map[reference.Reference][]*v1alpha1.ArtifactManifest, error) {
	found := map[reference.Reference][]*v1alpha1.ArtifactManifest{}
	of := map[reference.Object]*v1alpha1.ArtifactManifestList{}
	for _, ref := range named {
		if ref.To.Kind != v1alpha1.KindArtifactStore {
			continue
		}
		l := of[ref.To]
		if l == nil {
			l = &v1alpha1.ArtifactManifestList{}
			of[ref.To] = l
			byStore := client.MatchingFields{reference.Field: reference.Key(ref.To)}
			if err := r.List(ctx, l, client.InNamespace(ref.To.Namespace), byStore, client.UnsafeDisableDeepCopy); err != nil { // they are only read
				return nil, fmt.Errorf("listing the manifests of %s: %w", ref.To, err)
			}
		}
		found[ref] = nil
		for i := range l.Items {
			m := &l.Items[i]
			if slices.ContainsFunc(m.Spec.Artifacts, func(a v1alpha1.ManifestArtifact) bool { return a.ArtifactName == ref.Artifact }) {
				found[ref] = append(found[ref], m)
			}
		}
		slices.SortFunc(found[ref], func(a, b *v1alpha1.ArtifactManifest) int { return cmp.Compare(a.Name, b.Name) })
	}
	return found, nil
}

// migrated sets the condition Migrated: which references of a version still have the old form.
func (seen versionSeen) migrated(v *versionVerdict) {
	var left []string
	reason := ""
	for _, ref := range seen.named {
		if ref.To.Kind != v1alpha1.KindArtifactStore {
			continue
		}
		reason = v1alpha1.ReasonStoreReference
		where := "no manifest there lists it: make one"
		var names []string
		for _, m := range seen.alternatives[ref] {
			names = append(names, m.Name)
		}
		if len(names) > 0 {
			where = "listed by " + v1alpha1.FirstOf(names, reference.NamedHolders)
		}
		left = append(left, fmt.Sprintf("%s for artifact %s of %s (%s)", pass.ChangeTheRef, ref.Artifact, ref.Application, where))
	}
	for _, ref := range seen.named {
		if t := seen.targets[ref.To]; t.storeScoped {
			reason = cmp.Or(reason, v1alpha1.ReasonStoreScoped)
			left = append(left, fmt.Sprintf("set spec.uploadPath of %s to ManifestScoped, and push its artifacts again", ref.To))
		}
	}
	if len(left) == 0 {
		v.conditions.Set(v1alpha1.ConditionMigrated, metav1.ConditionTrue, v1alpha1.ReasonMigrated, pass.NewForm)
		return
	}
	v.conditions.Set(v1alpha1.ConditionMigrated, metav1.ConditionFalse, reason,
		"References artifacts in the form before AOSM's 2025-03-30 API. To upgrade: "+v1alpha1.FirstOf(slices.Compact(left), reference.NamedHolders)+".")
}

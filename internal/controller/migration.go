package controller

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
)

const (
	newForm      = "It is in the form of AOSM's 2025-03-30 API and later."
	changeTheRef = "change artifactStoreRef to artifactManifestRef"
)

// byStore finds who names a manifest's artifacts by its store, the old form. A StoreScoped manifest is
// not held that way, but will be once it is upgraded.
func (r *ManifestReconciler) byStore(ctx context.Context, m *v1alpha1.ArtifactManifest, holders []reference.Holder) ([]reference.Holder, error) {
	if m.Spec.UploadPath == v1alpha1.StoreScoped {
		var err error
		if holders, err = r.holders.Cached(ctx, upgraded(m)); err != nil {
			return nil, fmt.Errorf("finding what names the artifacts of %s by their store: %w", m.Name, err)
		}
	}
	return slices.DeleteFunc(slices.Clone(holders), func(h reference.Holder) bool {
		return !slices.ContainsFunc(h.References, func(ref reference.Reference) bool { return ref.To.Kind == v1alpha1.KindArtifactStore })
	}), nil
}

// upgraded is a manifest as it is once it is ManifestScoped.
func upgraded(m *v1alpha1.ArtifactManifest) *v1alpha1.ArtifactManifest {
	m = m.DeepCopy()
	m.Spec.UploadPath = v1alpha1.ManifestScoped
	return m
}

// migrated says what is left to do until a manifest is in the new form, in AOSM's order: references,
// the upload path, the artifacts. It returns the form that it is being upgraded from, "" for none.
func (seen manifestSeen) migrated(v *manifestVerdict) v1alpha1.UploadPath {
	m := seen.manifest
	var left []string
	reason := ""
	if len(seen.byStore) > 0 {
		reason = v1alpha1.ReasonStoreReference
		left = append(left, fmt.Sprintf("%s (naming manifest %s) in %s", changeTheRef, m.Name, namesOf(seen.byStore)))
	}
	from := m.Status.UpgradingFrom
	if m.Spec.UploadPath == v1alpha1.StoreScoped {
		from, reason = v1alpha1.StoreScoped, v1alpha1.ReasonStoreScoped
		set := "set spec.uploadPath to ManifestScoped"
		if m.Spec.ArtifactManifestState == v1alpha1.ManifestUploaded {
			set += " and artifactManifestState to Uploading in one change (it can be sealed again later)"
		}
		left = append(left, set, fmt.Sprintf("push its artifacts again, below %s", seen.location.Repository(m.Name, v1alpha1.ManifestScoped, "")))
	} else if from != "" {
		switch gone := missing(v.artifacts[:min(len(v.artifacts), len(m.Spec.Artifacts))]); {
		case len(gone) > 0:
			reason = cmp.Or(reason, v1alpha1.ReasonMissing)
			left = append(left, fmt.Sprintf("push what is not at its new path yet: %s", v1alpha1.FirstOf(gone, reference.NamedHolders)))
		case seen.polled && seen.trouble == nil:
			from = ""
		default:
			reason = cmp.Or(reason, v1alpha1.ReasonMissing)
			left = append(left, "wait until the registry has been asked what is at the new path")
		}
	}
	if len(left) == 0 {
		v.conditions.set(v1alpha1.ConditionMigrated, metav1.ConditionTrue, v1alpha1.ReasonMigrated, newForm)
		return from
	}
	v.conditions.set(v1alpha1.ConditionMigrated, metav1.ConditionFalse, reason,
		fmt.Sprintf("It is in the form before AOSM's 2025-03-30 API, or named in it. To upgrade: %s. What lies at the old path is never touched.", strings.Join(left, "; then ")))
	return from
}

func namesOf(holders []reference.Holder) string {
	var names []string
	for _, h := range holders {
		names = append(names, h.String())
	}
	return v1alpha1.FirstOf(names, reference.NamedHolders)
}

// alternatives finds, for each artifact that a version names by its store, the manifests that list it
// there.
func (r *VersionReconciler[T]) alternatives(ctx context.Context, named []reference.Reference) (map[reference.Reference][]*v1alpha1.ArtifactManifest, error) {
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
			if slices.ContainsFunc(m.Spec.Artifacts, func(a v1alpha1.Artifact) bool { return a.ArtifactName == ref.Artifact }) {
				found[ref] = append(found[ref], m)
			}
		}
		slices.SortFunc(found[ref], func(a, b *v1alpha1.ArtifactManifest) int { return cmp.Compare(a.Name, b.Name) })
	}
	return found, nil
}

// migrated says what is left to do until all that a version names is named in the new form.
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
		left = append(left, fmt.Sprintf("%s for artifact %s of %s (%s)", changeTheRef, ref.Artifact, ref.Application, where))
	}
	for _, ref := range seen.named {
		if t := seen.targets[ref.To]; t.storeScoped {
			reason = cmp.Or(reason, v1alpha1.ReasonStoreScoped)
			left = append(left, fmt.Sprintf("set spec.uploadPath of %s to ManifestScoped, and push its artifacts again", ref.To))
		}
	}
	if len(left) == 0 {
		v.conditions.set(v1alpha1.ConditionMigrated, metav1.ConditionTrue, v1alpha1.ReasonMigrated, newForm)
		return
	}
	v.conditions.set(v1alpha1.ConditionMigrated, metav1.ConditionFalse, reason,
		"It names artifacts in the form before AOSM's 2025-03-30 API. To upgrade: "+v1alpha1.FirstOf(slices.Compact(left), reference.NamedHolders)+".")
}

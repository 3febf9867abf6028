package manifest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/controller/pass"
	"github.com/nfo-operator/nfo/internal/inventory"
	"github.com/nfo-operator/nfo/internal/reference"
)

// byStore returns the holders that reference a manifest's artifacts through its store, the
// old form. Such references do not hold a StoreScoped manifest, but will once it is upgraded.
func (r *Reconciler) byStore(ctx context.Context, m *v1alpha1.ArtifactManifest, holders []reference.Holder) ([]reference.Holder, error) {
	if m.Spec.UploadPath == v1alpha1.StoreScoped {
		var err error
		if holders, err = r.Holders.Cached(ctx, inventory.Upgraded(m)); err != nil {
			return nil, fmt.Errorf("finding what names the artifacts of %s by their store: %w", m.Name, err)
		}
	}
	return slices.DeleteFunc(slices.Clone(holders), func(h reference.Holder) bool {
		return !slices.ContainsFunc(h.References, func(ref reference.Reference) bool { return ref.To.Kind == v1alpha1.KindArtifactStore })
	}), nil
}

// migrated sets the condition Migrated: what is still to be done until a manifest is in the new form, in AOSM's order
// (references, upload path, artifacts). It returns the form that the manifest is being upgraded from, "" for none.
func (seen manifestSeen) migrated(v *manifestVerdict) v1alpha1.UploadPath {
	m := seen.manifest
	var left []string
	reason := ""
	if len(seen.byStore) > 0 {
		reason = v1alpha1.ReasonStoreReference
		left = append(left, fmt.Sprintf("%s (naming manifest %s) in %s", pass.ChangeTheRef, m.Name, namesOf(seen.byStore)))
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
		switch gone := inventory.Missing(v.artifacts[:min(len(v.artifacts), len(m.Spec.Artifacts))]); {
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
		v.conditions.Set(v1alpha1.ConditionMigrated, metav1.ConditionTrue, v1alpha1.ReasonMigrated, pass.NewForm)
		return from
	}
	v.conditions.Set(v1alpha1.ConditionMigrated, metav1.ConditionFalse, reason,
		fmt.Sprintf("This manifest, or a reference to it, has the form before AOSM's 2025-03-30 API. To upgrade: %s. nfo never changes artifacts at the old path.", strings.Join(left, "; then ")))
	return from
}

func namesOf(holders []reference.Holder) string {
	var names []string
	for _, h := range holders {
		names = append(names, h.String())
	}
	return v1alpha1.FirstOf(names, reference.NamedHolders)
}

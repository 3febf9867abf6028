package pass

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
)

// EntryInUse adds the condition that an entry left the spec but is kept, because something holds the whole manifest.
func (cs *Conditions) EntryInUse(m *v1alpha1.ArtifactManifest, left []v1alpha1.ArtifactStatus, holders []reference.Holder) {
	var names []string
	for _, e := range left {
		names = append(names, e.ArtifactName+":"+e.ArtifactVersion)
	}
	cs.Set(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonEntryInUse,
		fmt.Sprintf("%s was removed from spec.artifacts but stays in the registry while the manifest is in use. %s. List it again, or delete the objects that reference the manifest.",
			v1alpha1.FirstOf(names, reference.NamedHolders), reference.Refusal(reference.Self(m), holders)))
}

// Untouched adds the conditions of a manifest that is released while its artifacts stay in the registry.
func (cs *Conditions) Untouched(why string) {
	cs.Set(v1alpha1.ConditionUntagged, metav1.ConditionFalse, v1alpha1.ReasonNotOurs, why)
	cs.Set(v1alpha1.ConditionDeletionBlocked, metav1.ConditionFalse, v1alpha1.ReasonReleased, "No object references it. The condition Untagged says why its artifacts stay.")
}

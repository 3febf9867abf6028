package version

import (
	"fmt"
	"slices"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
)

// deployable returns the status, reason and message of Ready: whether
// everything that a version is deployed from is in the registry.
func (seen versionSeen) deployable(apps []v1alpha1.ApplicationStatus) (metav1.ConditionStatus, string, string) {
	var gone, moved, incomplete []string
	for _, ref := range seen.named {
		m := seen.targets[ref.To].manifest
		if m == nil || ref.Artifact == "" {
			continue
		}
		if apimeta.IsStatusConditionFalse(m.Status.Conditions, v1alpha1.ConditionComplete) {
			incomplete = append(incomplete, m.Name)
		}
		version, _ := choose(ref, m)
		name := fmt.Sprintf("%s:%s of %s (application %s)", ref.Artifact, version, m.Name, ref.Application)
		switch stateIn(m, ref.Artifact, version) {
		case v1alpha1.ArtifactMissing:
			gone = append(gone, name)
		case v1alpha1.ArtifactMoved:
			moved = append(moved, name)
		}
	}
	drifted := seen.drifted()
	switch {
	case len(moved) > 0:
		return metav1.ConditionFalse, v1alpha1.ReasonTampered, fmt.Sprintf("The references are protected, but these tags were overwritten after their manifest was sealed: %s. The condition Ready of the manifest says how to restore them.", v1alpha1.FirstOf(moved, reference.NamedHolders))
	case len(drifted) > 0:
		return metav1.ConditionFalse, v1alpha1.ReasonTagMoved,
			fmt.Sprintf("The digests from when this version became Active are protected, but the tags now point to others: %s. Push the earlier content to these tags, or make a new version.", v1alpha1.FirstOf(drifted, reference.NamedHolders))
	case len(gone) > 0:
		return metav1.ConditionFalse, v1alpha1.ReasonMissing, fmt.Sprintf("The references are protected, but these artifacts are not in the registry: %s. Push them; the manifest says where.", v1alpha1.FirstOf(gone, reference.NamedHolders))
	}
	says := "All referenced artifacts are protected and present in the registry."
	if len(incomplete) > 0 {
		says += fmt.Sprintf(" The charts need more images: see the condition Complete of %s.", v1alpha1.FirstOf(slices.Compact(incomplete), reference.NamedHolders))
	}
	if all, left := unkept(apps); left > 0 {
		says += fmt.Sprintf(" The charts need %d images, of which this definition protects %d, those in other manifests first. To protect all of them, split the definition in two.", all, all-left)
	}
	return metav1.ConditionTrue, v1alpha1.ReasonReady, says
}

// stateIn returns the state of an artifact of a manifest; Missing if it has not been seen.
func stateIn(m *v1alpha1.ArtifactManifest, name, version string) v1alpha1.ArtifactState {
	for _, a := range m.Status.Artifacts {
		if a.ArtifactName == name && a.ArtifactVersion == version {
			return a.State
		}
	}
	return v1alpha1.ArtifactMissing
}

// drifted returns the charts and images of a deployed definition whose tags now point to other digests.
func (seen versionSeen) drifted() []string {
	if seen.definition == nil || seen.definition.Spec.VersionState == v1alpha1.VersionPreview {
		return nil
	}
	before := map[string]v1alpha1.ApplicationStatus{}
	for _, app := range seen.recorded() {
		before[app.Name] = app
	}
	var all []string
	for _, ref := range seen.named {
		now, _, ok := seen.application(ref)
		was := before[ref.Application]
		if !ok || was.Digest == "" || was.ArtifactVersion != now.ArtifactVersion || was.Repository != now.Repository || now.Digest == "" {
			continue
		}
		if was.Digest != now.Digest {
			all = append(all, fmt.Sprintf("%s:%s (was at %s, is at %s)", was.ArtifactName, was.ArtifactVersion, was.Digest, now.Digest))
			continue
		}
		all = append(all, movedImages(was.Images, now.Images)...)
	}
	return all
}

func movedImages(before, now []v1alpha1.ChartImage) []string {
	was := map[string]v1alpha1.ChartImage{}
	for _, i := range before {
		was[i.Image] = i
	}
	var all []string
	for _, i := range now {
		if old := was[i.Image]; old.Digest != "" && i.Digest != "" && old.Repository == i.Repository && old.Digest != i.Digest {
			all = append(all, fmt.Sprintf("%s (was at %s, is at %s)", i.Image, old.Digest, i.Digest))
		}
	}
	return all
}

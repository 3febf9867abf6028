package controller

import (
	"cmp"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
)

// choose finds which artifact of a manifest a reference means. unlisted says why there is none.
func choose(ref reference.Reference, m *v1alpha1.ArtifactManifest) (version, unlisted string) {
	if ref.Artifact == "" {
		return "", ""
	}
	var all []reference.ChartCandidate
	var names []string
	for _, a := range m.Spec.Artifacts {
		if a.ArtifactName == ref.Artifact {
			all = append(all, reference.ChartCandidate{Name: a.ArtifactName, Version: a.ArtifactVersion})
			names = append(names, a.ArtifactVersion)
		}
	}
	found, ok, err := reference.ResolveChart(ref.Artifact, ref.Version, all)
	switch {
	case ok:
		return found.Version, ""
	case err != nil:
		return "", fmt.Sprintf("%s:%s (%v)", ref.Artifact, ref.Version, err)
	case len(names) == 0:
		return "", fmt.Sprintf("%s:%s (%s has none of that name)", ref.Artifact, ref.Version, reference.Self(m))
	}
	return "", fmt.Sprintf("%s:%s (%s has %s)", ref.Artifact, ref.Version, reference.Self(m), atMost(names))
}

// recorded is what the definition's status says of its applications.
func (seen versionSeen) recorded() []v1alpha1.ApplicationStatus {
	if seen.definition == nil {
		return nil
	}
	return seen.definition.Status.Applications
}

// applications says what each application of a definition is deployed from, as far as that is known.
func (seen versionSeen) applications() []v1alpha1.ApplicationStatus {
	if seen.definition == nil {
		return nil
	}
	before := map[string]v1alpha1.ApplicationStatus{}
	for _, app := range seen.recorded() {
		before[app.Name] = app
	}
	var all []v1alpha1.ApplicationStatus
	known := map[string]bool{}
	for _, ref := range seen.named {
		if known[ref.Application] { // it names a manifest and a store, and the manifest comes first
			continue
		}
		if app, ok := seen.application(ref); ok {
			known[ref.Application] = true
			if seen.definition.Spec.VersionState != v1alpha1.VersionPreview {
				app = pinned(app, before[app.Name])
			}
			all = append(all, app)
		}
	}
	bound(all)
	return all
}

// application resolves one reference: in the manifest that it names, or in the one of those that list
// the artifact in the store that it names which has the highest version of the range.
func (seen versionSeen) application(ref reference.Reference) (v1alpha1.ApplicationStatus, bool) {
	from := seen.alternatives[ref]
	if t := seen.targets[ref.To]; t.found && t.manifest != nil {
		from = []*v1alpha1.ArtifactManifest{t.manifest}
	}
	best, version := highest(ref, from)
	if best == nil {
		return v1alpha1.ApplicationStatus{}, false
	}
	app := v1alpha1.ApplicationStatus{Name: ref.Application, Manifest: best.Name, ArtifactName: ref.Artifact, ArtifactVersion: version}
	for _, a := range best.Status.Artifacts {
		if a.ArtifactName == ref.Artifact && a.ArtifactVersion == version {
			app.Repository, app.Digest = a.Repository, a.Digest
		}
	}
	for _, c := range best.Status.Charts {
		if c.ArtifactName == ref.Artifact && c.ArtifactVersion == version && c.Digest == app.Digest {
			count := c.ImageCount
			app.Images, app.ImageCount = slices.Clone(c.Images), &count
		}
	}
	return app, true
}

// highest finds which of several manifests has the highest version that a reference takes; nil for none.
func highest(ref reference.Reference, from []*v1alpha1.ArtifactManifest) (best *v1alpha1.ArtifactManifest, version string) {
	in := map[string]*v1alpha1.ArtifactManifest{}
	var all []reference.ChartCandidate
	for _, m := range from {
		if v, unlisted := choose(ref, m); unlisted == "" && in[v] == nil {
			in[v] = m
			all = append(all, reference.ChartCandidate{Name: ref.Artifact, Version: v})
		}
	}
	found, ok, err := reference.ResolveChart(ref.Artifact, ref.Version, all)
	if !ok || err != nil {
		return nil, ""
	}
	return in[found.Version], found.Version
}

// pinned keeps the digests that a version had when it became one that is deployed.
func pinned(now, before v1alpha1.ApplicationStatus) v1alpha1.ApplicationStatus {
	same := now.Manifest == before.Manifest && now.ArtifactName == before.ArtifactName && now.ArtifactVersion == before.ArtifactVersion
	switch {
	case !same || before.Digest == "" || before.Repository != now.Repository:
		return now
	case before.Digest != now.Digest:
		return before
	}
	digests := map[string]string{}
	for _, i := range before.Images {
		digests[i.Image+" "+i.Repository] = i.Digest
	}
	for i := range now.Images {
		if d := digests[now.Images[i].Image+" "+now.Images[i].Repository]; d != "" {
			now.Images[i].Digest = d
		}
	}
	return now
}

// bound cuts the images of all applications to what a status takes. Those in other manifests come
// first: by them these are held.
func bound(apps []v1alpha1.ApplicationStatus) {
	total := 0
	for _, app := range apps {
		total += len(app.Images)
	}
	if total <= v1alpha1.MaxImages {
		return
	}
	room, rank := v1alpha1.MaxImages, map[bool]int{true: 1}
	for i := range apps {
		images := apps[i].Images
		slices.SortStableFunc(images, func(a, b v1alpha1.ChartImage) int {
			return cmp.Compare(rank[a.Manifest == ""], rank[b.Manifest == ""])
		})
		apps[i].Images = images[:min(len(images), room, v1alpha1.MaxImages/len(apps))]
		room -= len(apps[i].Images)
	}
}

// deployable says whether all that a version is deployed from is in the registry.
func (seen versionSeen) deployable() (metav1.ConditionStatus, string, string) {
	var gone, moved []string
	for _, ref := range seen.named {
		m := seen.targets[ref.To].manifest
		if m == nil || ref.Artifact == "" {
			continue
		}
		version, _ := choose(ref, m)
		name := fmt.Sprintf("%s:%s of %s (application %s)", ref.Artifact, version, m.Name, ref.Application)
		state := v1alpha1.ArtifactMissing
		for _, a := range m.Status.Artifacts {
			if a.ArtifactName == ref.Artifact && a.ArtifactVersion == version {
				state = a.State
			}
		}
		switch state {
		case v1alpha1.ArtifactMissing:
			gone = append(gone, name)
		case v1alpha1.ArtifactMoved:
			moved = append(moved, name)
		}
	}
	switch {
	case len(moved) > 0:
		return metav1.ConditionFalse, v1alpha1.ReasonTampered, fmt.Sprintf("It is held, but these tags were pushed over after their manifest was sealed: %s. The manifest says how to restore them.", atMost(moved))
	case len(gone) > 0:
		return metav1.ConditionFalse, v1alpha1.ReasonMissing, fmt.Sprintf("It is held, but not in the registry (yet): %s. Push them; the manifest says where.", atMost(gone))
	}
	return metav1.ConditionTrue, v1alpha1.ReasonReady, "What it names is held by it and in the registry."
}

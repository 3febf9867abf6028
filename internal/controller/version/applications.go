package version

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
)

// choose returns the version of the artifact of a manifest that a reference means. If there is none, unlisted says why.
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
	return "", fmt.Sprintf("%s:%s (%s has %s)", ref.Artifact, ref.Version, reference.Self(m), v1alpha1.FirstOf(names, reference.NamedHolders))
}

// recorded returns the applications that the definition's status has.
func (seen versionSeen) recorded() []v1alpha1.ApplicationStatus {
	if seen.definition == nil {
		return nil
	}
	return seen.definition.Status.Applications
}

// applications returns which artifact each application of a definition is deployed from, as far as that is known.
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
		if known[ref.Application] { // it references a manifest and a store, and the manifest takes precedence
			continue
		}
		if app, whole, ok := seen.application(ref); ok {
			known[ref.Application] = true
			if !whole {
				app = unread(app, before[app.Name])
			}
			if seen.definition.Spec.VersionState != v1alpha1.VersionPreview {
				app = pinned(app, before[app.Name])
			}
			all = append(all, app)
		}
	}
	all = append(all, seen.unresolved(before, known)...)
	bound(all)
	return all
}

// unresolved returns the recorded state of the applications whose references resolve to nothing now.
func (seen versionSeen) unresolved(before map[string]v1alpha1.ApplicationStatus, known map[string]bool) []v1alpha1.ApplicationStatus {
	var all []v1alpha1.ApplicationStatus
	for _, ref := range seen.named {
		if app, recorded := before[ref.Application]; recorded && !known[ref.Application] && meant(ref, app) {
			known[ref.Application] = true
			all = append(all, app)
		}
	}
	return all
}

// meant reports whether a reference can still mean the artifact that an application was
// deployed from. While the reference resolves to nothing, because its manifest is missing
// or does not list the artifact for a moment, the recorded artifact stays held (I2).
func meant(ref reference.Reference, app v1alpha1.ApplicationStatus) bool {
	if ref.To.Kind == v1alpha1.KindArtifactManifest && ref.To.Name != app.Manifest {
		return false
	}
	candidate := reference.ChartCandidate{Name: app.ArtifactName, Version: app.ArtifactVersion}
	_, ok, err := reference.ResolveChart(ref.Artifact, ref.Version, []reference.ChartCandidate{candidate})
	return ok && err == nil
}

// application resolves one reference in the manifest that it references. If it references
// a store, application takes the manifest of that store that lists the highest version
// within the range. whole is false while the chart may need more images than are known.
func (seen versionSeen) application(ref reference.Reference) (app v1alpha1.ApplicationStatus, whole, ok bool) {
	from := seen.alternatives[ref]
	if t := seen.targets[ref.To]; t.found && t.manifest != nil {
		from = []*v1alpha1.ArtifactManifest{t.manifest}
	}
	best, version := highest(ref, from)
	if best == nil {
		return app, false, false
	}
	app = v1alpha1.ApplicationStatus{Name: ref.Application, Manifest: best.Name, ArtifactName: ref.Artifact, ArtifactVersion: version}
	for _, a := range best.Status.Artifacts {
		if a.ArtifactName == ref.Artifact && a.ArtifactVersion == version {
			app.Repository, app.Digest = a.Repository, a.Digest
		}
	}
	for _, c := range best.Status.Charts {
		if c.ArtifactName == ref.Artifact && c.ArtifactVersion == version && c.Digest == app.Digest {
			count := c.ImageCount
			app.Images, app.ImageCount = slices.Clone(c.Images), &count
			for i := range app.Images {
				app.Images[i].Place = "" // the manifest's status has it
			}
			whole = c.Problem == "" && c.Remark == "" && int(c.ImageCount) <= len(c.Images)
		}
	}
	return app, whole, true
}

// highest returns the manifest with the highest version that a reference accepts; nil for none.
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

// listedInStore reports whether a manifest of the store lists the artifact of a reference in the old form.
func (seen versionSeen) listedInStore(ref reference.Reference) bool {
	m, _ := highest(ref, seen.alternatives[ref])
	return m != nil
}

// unread carries over the images of a chart's last reading until the chart's new digest has
// been read completely, so that the manifests that contain these images stay protected (I2).
func unread(now, before v1alpha1.ApplicationStatus) v1alpha1.ApplicationStatus {
	if now.Manifest != before.Manifest || now.ArtifactName != before.ArtifactName || now.ArtifactVersion != before.ArtifactVersion {
		return now
	}
	return joined(now, before.Images)
}

// joined adds to an application those of the images that it does not have.
func joined(app v1alpha1.ApplicationStatus, images []v1alpha1.ChartImage) v1alpha1.ApplicationStatus {
	known := map[string]bool{}
	for _, i := range app.Images {
		known[i.Image] = true
	}
	for _, i := range images {
		if !known[i.Image] {
			app.Images = append(app.Images, i)
		}
	}
	if app.ImageCount != nil {
		app.ImageCount = new(max(*app.ImageCount, int32(len(app.Images)))) //nolint:gosec // a status has 512 at most
	}
	return app
}

// pinned keeps the digests that a version had when it stopped being a Preview.
func pinned(now, before v1alpha1.ApplicationStatus) v1alpha1.ApplicationStatus {
	same := now.Manifest == before.Manifest && now.ArtifactName == before.ArtifactName && now.ArtifactVersion == before.ArtifactVersion
	unseen := now.Repository == "" || now.Digest == "" // the manifest is new, or has lost its status
	switch {
	case !same || before.Digest == "" || !unseen && before.Repository != now.Repository:
		return now
	case before.Digest != now.Digest:
		return before
	}
	was := map[string]v1alpha1.ChartImage{}
	for _, i := range before.Images {
		was[i.Image] = i
	}
	for i := range now.Images {
		image := &now.Images[i]
		switch old := was[image.Image]; {
		case image.State == v1alpha1.ImageMissing && old.Repository != "":
			*image = old // the image that it held stays held
		case image.Repository == old.Repository && old.Digest != "":
			image.Digest = old.Digest
		}
	}
	// The same chart has another reading if another definition sets other values paths for it, or
	// with another version of nfo. The deployment may still pull what the earlier reading found.
	return joined(now, slices.DeleteFunc(slices.Clone(before.Images), func(i v1alpha1.ChartImage) bool { return i.Repository == "" }))
}

// bound cuts the images of all applications to as many as a status takes. One image from each
// other manifest comes first, because that image makes the definition hold the manifest. Then
// come the remaining images from other manifests, and then the same number from each application.
func bound(apps []v1alpha1.ApplicationStatus) {
	total := 0
	for _, app := range apps {
		total += len(app.Images)
	}
	if total <= v1alpha1.MaxImages {
		return
	}
	type place struct {
		app, rank, number int // number counts the images of this rank in the application
		image             v1alpha1.ChartImage
	}
	var all []place
	held := map[string]bool{}
	for i, app := range apps {
		var numbers [3]int
		for _, image := range app.Images {
			rank := 1
			switch {
			case image.Manifest == "":
				rank = 2
			case !held[image.Manifest]:
				held[image.Manifest], rank = true, 0
			}
			all = append(all, place{i, rank, numbers[rank], image})
			numbers[rank]++
		}
		apps[i].Images = nil // not cut in place: the array may belong to the stored status
	}
	slices.SortStableFunc(all, func(a, b place) int { return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.number, b.number)) })
	for _, p := range all[:v1alpha1.MaxImages] {
		apps[p.app].Images = append(apps[p.app].Images, p.image)
	}
}

// unkept returns how many images the applications need in all, and how many of these the status has no room for.
func unkept(apps []v1alpha1.ApplicationStatus) (all, left int) {
	for _, app := range apps {
		all += len(app.Images)
		if app.ImageCount != nil {
			left += max(0, int(*app.ImageCount)-len(app.Images))
		}
	}
	return all + left, left
}

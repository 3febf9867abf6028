package aosm

import (
	"regexp"
	"strings"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/aosm/arm"
	"github.com/nfo-operator/nfo/internal/aosm/document"
	"github.com/nfo-operator/nfo/internal/aosm/finding"
	"github.com/nfo-operator/nfo/internal/aosm/input"
	"github.com/nfo-operator/nfo/internal/aosm/template"
)

// maxArtifacts is the maximum number of artifacts of a manifest.
const maxArtifacts = 512

func (im *importer) mapManifest(r input.Resource) {
	p := r.Properties()
	o := &v1alpha1.ArtifactManifest{}
	path, decided := im.uploadPath(r)
	o.Spec.UploadPath = path
	o.Spec.ArtifactManifestState = im.manifestState(p, r)
	if !im.listArtifacts(o, p, r) {
		return
	}
	if !decided {
		im.ask(r, path)
	}
	if path == "" {
		r.Value.Close() // reported once for its store
		return
	}
	im.putPublished(o, &o.ObjectMeta, v1alpha1.KindArtifactManifest, r)
	im.link(&o.Spec.ArtifactStoreRef.Name, v1alpha1.KindArtifactStore, r.ID.Parent(), nil)
}

// listArtifacts fills in the artifacts of a manifest. It returns false, and reports why,
// if the input does not decide the whole list: an existing manifest applied with a part of
// its list would release the other artifacts, and a sealed one could never be completed.
func (im *importer) listArtifacts(o *v1alpha1.ArtifactManifest, p template.Value, r input.Resource) bool {
	before := im.Doubts
	if whole := r.Value.Get("properties"); whole.There() {
		_, err := whole.Resolve()
		im.Undecided(whole.Node, "its properties", err)
	}
	if list, err := p.Get("artifacts").Resolve(); im.Doubts == before && err == nil && !list.There() {
		im.Unmapped(r.Value.Node, "it does not say which artifacts it lists, so that the manifest is left out; one that lists none has \"artifacts\": []")
		return false
	}
	listed := im.array(p, "artifacts", document.MaxValues)
	if len(listed) > maxArtifacts {
		im.Unmapped(r.Value.Node, "it lists %d artifacts, and a manifest here lists at most %d, so that the manifest is left out; split it into several", len(listed), maxArtifacts)
		return false
	}
	seen := map[string]bool{}
	for _, item := range listed {
		a, ok := im.artifact(item, o.Spec.UploadPath, r)
		key := a.ArtifactName + ":" + a.ArtifactVersion
		switch {
		case !ok:
			im.left(item.Node, "the artifact")
		case seen[key]:
			im.Tell(finding.Note, item.Node, "the artifact %s is listed twice", key)
		default:
			seen[key] = true
			o.Spec.Artifacts = append(o.Spec.Artifacts, a)
		}
	}
	switch {
	case im.Doubts > before:
		im.Unmapped(r.Value.Node, "not all of its artifacts can be decided and listed here, so that the manifest is left out: with a part of them it would release the others")
		return false
	case len(listed) > 0 && len(o.Spec.Artifacts) == 0:
		im.Unmapped(r.Value.Node, "none of its artifacts is in an OCI registry")
		return false
	}
	return true
}

// manifestState returns Uploaded or "": a manifest that was sealed in the cluster since then must not be unsealed.
func (im *importer) manifestState(p template.Value, r input.Resource) v1alpha1.ManifestState {
	state := im.text(p, "artifactManifestState")
	at := p.Get("artifactManifestState").Node
	switch arm.Fold(state) {
	case "", "uploading":
		return ""
	case "uploaded", "succeeded":
		if im.readOnly(r, at, "artifactManifestState") {
			return ""
		}
		if arm.Fold(state) != "uploaded" {
			im.Tell(finding.Note, at, "the state %q, which AOSM lists after the seal, is taken to be Uploaded", arm.Clip(state))
		}
		return v1alpha1.ManifestUploaded
	}
	im.Tell(finding.Note, at, "the state %q is taken to be Uploading", arm.Clip(state))
	return ""
}

// readOnly reports that a template cannot set a state, which is read-only in AOSM. It returns false for an answer.
func (im *importer) readOnly(r input.Resource, at *document.Node, member string) bool {
	if !r.Template {
		return false
	}
	im.Tell(finding.Note, at, "a template does not set %s, which is read-only in AOSM: a new object gets the default state, an existing one keeps its state", member)
	return true
}

var (
	repository = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
	tag        = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)
)

// artifact returns one entry of a manifest. Only artifacts in an OCI registry become entries:
// images, charts, and the templates and image files that are pushed there as artifacts.
func (im *importer) artifact(item template.Value, path v1alpha1.UploadPath, r input.Resource) (a v1alpha1.ManifestArtifact, ok bool) {
	item, ok = im.element(item, "an artifact")
	if !ok {
		return a, false
	}
	kind := im.text(item, "artifactType")
	switch arm.Fold(kind) {
	case "", "ociartifact", "armtemplate", "imagefile":
	default: // leaving it out releases nothing
		im.Unmapped(item.Node, "an artifact of type %q is not in an OCI registry", arm.Clip(kind))
		return a, false
	}
	name, version, ok := im.artifactName(item, "artifactName", "artifactVersion")
	if !ok {
		im.Doubts++
		return a, false
	}
	if lower := arm.Fold(kind); lower == "armtemplate" || lower == "imagefile" {
		im.Tell(finding.Note, item.Node, "the %s %s is listed as the OCIArtifact that it is in the registry as", arm.Clip(kind), name)
	}
	// The manifest's name, which may get a suffix of 9 characters, is a part of the repository's name too.
	if limit := 254 - len(r.ID.Name()) - 9; path == v1alpha1.ManifestScoped && (strings.Contains(name, "/") || len(name) > limit) {
		im.Doubt(item.Node, "the artifactName %q is not one path segment of at most %d characters, and a manifest of the API version %s can list nothing else here; push it under a name without /", arm.Clip(name), limit, manifestScopedVersion)
		return a, false
	}
	return v1alpha1.ManifestArtifact{ArtifactName: name, ArtifactType: "OCIArtifact", ArtifactVersion: version}, true
}

// artifactName returns the name and the version of an artifact as in a
// registry: names are in lower case, and versions have _ in place of +.
func (im *importer) artifactName(v template.Value, nameMember, versionMember string) (name, version string, ok bool) {
	name, ok = im.repositoryName(v, nameMember)
	written, known := im.need(v, versionMember, 128)
	version = strings.ReplaceAll(written, "+", "_")
	if known && !tag.MatchString(version) {
		im.Unmapped(v.Get(versionMember).Node, "the version %q cannot be a tag", arm.Clip(written))
		known = false
	}
	return name, version, ok && known
}

func (im *importer) repositoryName(v template.Value, member string) (string, bool) {
	written, ok := im.need(v, member, 255)
	name := strings.ToLower(written)
	switch {
	case !ok:
		return "", false
	case !repository.MatchString(name) || len(name) > 255:
		im.Unmapped(v.Get(member).Node, "the name %q cannot be a repository's", arm.Clip(written))
		return "", false
	case name != written:
		im.Tell(finding.Note, v.Get(member).Node, "the artifact %s is looked for as %s: repositories are in lower case", arm.Clip(written), name)
	}
	return name, true
}

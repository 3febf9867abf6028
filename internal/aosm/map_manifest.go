package aosm

import (
	"regexp"
	"strings"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// maxArtifacts is how many artifacts a manifest lists at most.
const maxArtifacts = 512

func (im *importer) mapManifest(r resource) {
	p := r.properties()
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
		r.value.close() // the question is asked once for its store
		return
	}
	im.putPublished(o, &o.ObjectMeta, v1alpha1.KindArtifactManifest, r)
	im.link(&o.Spec.ArtifactStoreRef.Name, v1alpha1.KindArtifactStore, r.id.parent(), nil)
}

// listArtifacts fills in what a manifest lists. It reports false, and tells why, where the input does not
// decide the whole list: applied with a part of it, a manifest that is there would release the rest, and one
// that is sealed could never be completed.
func (im *importer) listArtifacts(o *v1alpha1.ArtifactManifest, p value, r resource) bool {
	before := im.doubts
	if whole := r.value.get("properties"); whole.there() {
		_, err := whole.resolve()
		im.undecided(whole.node, "its properties", err)
	}
	if list, err := p.get("artifacts").resolve(); im.doubts == before && err == nil && !list.there() {
		im.unmapped(r.value.node, "it does not say which artifacts it lists, so that the manifest is left out; one that lists none has \"artifacts\": []")
		return false
	}
	listed := im.array(p, "artifacts", MaxValues)
	if len(listed) > maxArtifacts {
		im.unmapped(r.value.node, "it lists %d artifacts, and a manifest here lists at most %d, so that the manifest is left out; split it into several", len(listed), maxArtifacts)
		return false
	}
	seen := map[string]bool{}
	for _, item := range listed {
		a, ok := im.artifact(item, o.Spec.UploadPath, r)
		key := a.ArtifactName + ":" + a.ArtifactVersion
		switch {
		case !ok:
			im.left(item.node, "the artifact")
		case seen[key]:
			im.tell(Note, item.node, "the artifact %s is listed twice", key)
		default:
			seen[key] = true
			o.Spec.Artifacts = append(o.Spec.Artifacts, a)
		}
	}
	switch {
	case im.doubts > before:
		im.unmapped(r.value.node, "not all of its artifacts can be decided and listed here, so that the manifest is left out: with a part of them it would release the others")
		return false
	case len(listed) > 0 && len(o.Spec.Artifacts) == 0:
		im.unmapped(r.value.node, "none of its artifacts is in an OCI registry")
		return false
	}
	return true
}

// manifestState is Uploaded or left to its default: what is sealed here meanwhile is not to be unsealed.
func (im *importer) manifestState(p value, r resource) v1alpha1.ManifestState {
	state := im.text(p, "artifactManifestState")
	at := p.get("artifactManifestState").node
	switch fold(state) {
	case "", "uploading":
		return ""
	case "uploaded", "succeeded":
		if im.readOnly(r, at, "artifactManifestState") {
			return ""
		}
		if fold(state) != "uploaded" {
			im.tell(Note, at, "the state %q, which AOSM lists after the seal, is taken to be Uploaded", clip(state))
		}
		return v1alpha1.ManifestUploaded
	}
	im.tell(Note, at, "the state %q is taken to be Uploading", clip(state))
	return ""
}

// readOnly tells that a template does not decide a state, which AOSM lets only its answers have.
func (im *importer) readOnly(r resource, at *node, member string) bool {
	if !r.template {
		return false
	}
	im.tell(Note, at, "a template does not set %s, which is read-only in AOSM: a new object gets the default state, an existing one keeps its state", member)
	return true
}

var (
	repository = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
	tag        = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)
)

// artifact is one entry of a manifest. Only what is in an OCI registry is one: images, charts, and
// the templates and image files that are pushed there as artifacts.
func (im *importer) artifact(item value, path v1alpha1.UploadPath, r resource) (a v1alpha1.ManifestArtifact, ok bool) {
	item, ok = im.element(item, "an artifact")
	if !ok {
		return a, false
	}
	kind := im.text(item, "artifactType")
	switch fold(kind) {
	case "", "ociartifact", "armtemplate", "imagefile":
	default: // it has nothing to release
		im.unmapped(item.node, "an artifact of type %q is not in an OCI registry", clip(kind))
		return a, false
	}
	name, version, ok := im.artifactName(item, "artifactName", "artifactVersion")
	if !ok {
		im.doubts++
		return a, false
	}
	if lower := fold(kind); lower == "armtemplate" || lower == "imagefile" {
		im.tell(Note, item.node, "the %s %s is listed as the OCIArtifact that it is in the registry as", clip(kind), name)
	}
	// The manifest's name can get 9 characters more, and both share a repository's name.
	if limit := 254 - len(r.id.name()) - 9; path == v1alpha1.ManifestScoped && (strings.Contains(name, "/") || len(name) > limit) {
		im.doubt(item.node, "the artifactName %q is not one path segment of at most %d characters, and a manifest of the API version %s can list nothing else here; push it under a name without /", clip(name), limit, cleanUp)
		return a, false
	}
	return v1alpha1.ManifestArtifact{ArtifactName: name, ArtifactType: "OCIArtifact", ArtifactVersion: version}, true
}

// artifactName reads the name and the version of an artifact as they are in a registry, where names are
// in lower case and versions have an _ for each +.
func (im *importer) artifactName(v value, nameMember, versionMember string) (name, version string, ok bool) {
	name, ok = im.repositoryName(v, nameMember)
	written, known := im.need(v, versionMember, 128)
	version = strings.ReplaceAll(written, "+", "_")
	if known && !tag.MatchString(version) {
		im.unmapped(v.get(versionMember).node, "the version %q cannot be a tag", clip(written))
		known = false
	}
	return name, version, ok && known
}

func (im *importer) repositoryName(v value, member string) (string, bool) {
	written, ok := im.need(v, member, 255)
	name := strings.ToLower(written)
	switch {
	case !ok:
		return "", false
	case !repository.MatchString(name) || len(name) > 255:
		im.unmapped(v.get(member).node, "the name %q cannot be a repository's", clip(written))
		return "", false
	case name != written:
		im.tell(Note, v.get(member).node, "the artifact %s is looked for as %s: repositories are in lower case", clip(written), name)
	}
	return name, true
}

package admission

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
)

// named is a reference of a version, with the field that it is in.
type named struct {
	at *field.Path
	to reference.Object
}

// sourceNames returns the references of an artifact source.
func sourceNames(s v1alpha1.ArtifactSource, namespace string, at *field.Path) []named {
	var all []named
	if r := s.ArtifactManifestRef; r != nil {
		all = append(all, named{at.Child("artifactManifestRef", "name"), reference.Object{Kind: v1alpha1.KindArtifactManifest, Namespace: namespace, Name: r.Name}})
	}
	if r := s.ArtifactStoreRef; r != nil {
		all = append(all, named{at.Child("artifactStoreRef", "name"), reference.Object{Kind: v1alpha1.KindArtifactStore, Namespace: namespace, Name: r.Name}})
	}
	return all
}

// version is what definitions and designs have in common: a state, and references.
type version struct {
	// was is the state before, "" if the version is being created.
	was, is v1alpha1.VersionState
	// before and after are its references.
	before, after []named
}

// frozen reports whether only the state may change.
func (v version) frozen() bool {
	return v.was == v1alpha1.VersionActive || v.was == v1alpha1.VersionDeprecated
}

// activates reports whether the change makes the version Active.
func (v version) activates() bool {
	return v.is == v1alpha1.VersionActive && v.was != v1alpha1.VersionActive
}

// checkVersion reads the objects that the version references, and returns the warnings and errors about them.
func (l *lookup) checkVersion(ctx context.Context, v version) (admission.Warnings, field.ErrorList, error) {
	found, err := l.targets(ctx, v.after, v.activates())
	if err != nil {
		return nil, nil, err
	}
	return v.warnings(found), append(v.stateErrors(), v.targetErrors(found)...), nil
}

func (v version) stateErrors() field.ErrorList {
	if v.frozen() && v.is == v1alpha1.VersionPreview {
		return field.ErrorList{field.Invalid(field.NewPath("spec", "versionState"), v.is,
			fmt.Sprintf("a version that was %s cannot return to Preview; make a new version", v.was))}
	}
	return nil
}

// targetErrors is pure. An old reference is never refused because its target has changed since.
func (v version) targetErrors(found map[reference.Object]target) field.ErrorList {
	old := map[reference.Object]bool{}
	for _, n := range v.before {
		old[n.to] = true
	}
	var all field.ErrorList
	for _, n := range v.after {
		t := found[n.to]
		switch {
		case t.terminating && !old[n.to]:
			all = append(all, field.Invalid(n.at, n.to.Name, fmt.Sprintf("%s is being deleted; name another one, or apply it again once it is gone", n.to)))
		case !v.activates():
		case !t.exists && n.to.Kind != v1alpha1.KindArtifactStore:
			all = append(all, field.Invalid(n.at, n.to.Name, fmt.Sprintf("%s does not exist, which an Active version needs; create it first, or stay in Preview", n.to)))
		case t.exists && !t.ready && n.to.Kind == v1alpha1.KindArtifactManifest:
			all = append(all, field.Invalid(n.at, n.to.Name, fmt.Sprintf("%s is not sealed, which an Active version needs; set its artifactManifestState to Uploaded first, or stay in Preview", n.to)))
		case t.exists && !t.ready:
			all = append(all, field.Invalid(n.at, n.to.Name, fmt.Sprintf("%s is in Preview, which an Active version cannot be deployed with; set its versionState to Active first, or stay in Preview", n.to)))
		}
	}
	return all
}

// warnings is pure.
func (v version) warnings(found map[reference.Object]target) admission.Warnings {
	var missing, storeScoped, stores, incomplete []string
	seen := map[reference.Object]bool{}
	for _, n := range v.after {
		t := found[n.to]
		switch {
		case seen[n.to]:
		case !t.exists:
			missing = append(missing, n.to.String())
		case t.storeScoped:
			storeScoped = append(storeScoped, n.to.String())
		case t.incomplete != "" && v.activates():
			incomplete = append(incomplete, fmt.Sprintf("%s (%s)", n.to, strings.TrimSuffix(t.incomplete, ".")))
		}
		if n.to.Kind == v1alpha1.KindArtifactStore && !seen[n.to] {
			stores = append(stores, n.to.String())
		}
		seen[n.to] = true
	}
	var ws admission.Warnings
	for _, w := range []struct {
		format string
		names  []string
	}{
		{"References objects that do not exist: %s. Until they do, the condition Resolved is False.", missing},
		{"References manifests that are still StoreScoped: %s. Until their uploadPath is ManifestScoped, the condition Resolved is False.", storeScoped},
		{"This version becomes Active, but the images of its charts are not all protected: %s.", incomplete},
		{"artifactStoreRef is the old form, which protects every manifest of that store that lists the artifact: %s. Use artifactManifestRef.", stores},
	} {
		if len(w.names) > 0 {
			ws = append(ws, fmt.Sprintf(w.format, v1alpha1.FirstOf(w.names, reference.NamedHolders)))
		}
	}
	return ws
}

// frozenError refuses to change what users may have deployed already.
func frozenError(part string, state v1alpha1.VersionState) *field.Error {
	return field.Forbidden(field.NewPath("spec", part),
		fmt.Sprintf("cannot be changed because the version is %s; make a new version. Only versionState can change, and an artifactStoreRef can become an artifactManifestRef", state))
}

// upgraded returns the source to compare with the new one: the new source if the old one was upgraded
// from the old form, which is the only change that a frozen version allows, and else the old source.
func upgraded(was, is v1alpha1.ArtifactSource) v1alpha1.ArtifactSource {
	if was.ArtifactStoreRef != nil && is.ArtifactManifestRef != nil && is.ArtifactStoreRef == nil {
		return is
	}
	return was
}

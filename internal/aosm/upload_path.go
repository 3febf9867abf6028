package aosm

import (
	"fmt"
	"strings"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/aosm/arm"
	"github.com/nfo-operator/nfo/internal/aosm/document"
	"github.com/nfo-operator/nfo/internal/aosm/finding"
	"github.com/nfo-operator/nfo/internal/aosm/input"
)

// referenceForms are the forms of the references to a store and its manifests: to the store (old) or to a manifest (new).
type referenceForms struct{ old, new bool }

// question is which API version the manifests of one store were made with, if the input
// does not say it. It is reported once for each store, with or without an assumed answer.
type question struct {
	store arm.ID
	at    *document.Node
	names []string
	path  v1alpha1.UploadPath // "" if nothing shows an answer
}

// uploadPath returns where the artifacts are: from the API version 2025-03-30 on, at the manifest's own
// path. Answers do not have their version. A reference to the manifest shows it, because only a manifest
// of that version can be referenced; else an existing object does. If neither exists, the other references
// to the store and its manifests decide, if all have one form. Otherwise it returns "", and the manifest
// is left out. It returns false if the path is assumed or unknown, which is reported as a question.
func (im *importer) uploadPath(r input.Resource) (v1alpha1.UploadPath, bool) {
	named := im.manifests[r.ID.Key()]
	there := im.there(v1alpha1.KindArtifactManifest, r.ID).UploadPath
	switch {
	case r.API >= manifestScopedVersion:
		return v1alpha1.ManifestScoped, true
	case r.API != "":
		if named {
			im.Tell(finding.Note, r.Value.Node, "a version refers to it, which needs it to be made with the API version %s: it stays StoreScoped, and keeps nothing, until its uploadPath is changed to ManifestScoped", manifestScopedVersion)
		}
		return v1alpha1.StoreScoped, true
	case named:
		return v1alpha1.ManifestScoped, true
	case there != "":
		return there, true
	}
	switch im.forms[r.ID.Parent().Key()] {
	case referenceForms{new: true}:
		return v1alpha1.ManifestScoped, false
	case referenceForms{old: true}:
		return v1alpha1.StoreScoped, false
	}
	return "", false
}

func (im *importer) ask(r input.Resource, path v1alpha1.UploadPath) {
	store := r.ID.Parent()
	q := im.asked[store.Key()]
	if q == nil {
		q = &question{store: store, at: r.Value.Node, path: path}
		im.asked[store.Key()] = q
		im.questions = append(im.questions, q)
	}
	q.names = append(q.names, r.ID.Name())
}

// tellQuestions reports the questions, one for each store.
func (im *importer) tellQuestions() {
	for _, q := range im.questions {
		store := arm.Clip(q.store.Publisher() + "/" + q.store.Name())
		which := fmt.Sprintf("the API version of %s of the store %s is not in the input", some("manifest", q.names), store)
		switch q.path {
		case "":
			im.Tell(finding.NotMapped, q.at, "%s, so the repositories of the artifacts are unknown: not imported; import again with --api-version %s, or with an earlier version such as %s (for this store only: --api-version %s=%s)", which, manifestScopedVersion, versions[1], store, manifestScopedVersion)
		case v1alpha1.ManifestScoped:
			im.Tell(finding.Note, q.at, "%s: %s is assumed, because definitions or designs refer to other manifests of the store; set another one with --api-version %s=%s", which, manifestScopedVersion, store, versions[1])
		default:
			im.Tell(finding.Note, q.at, "%s: a version before %s is assumed, because all definitions and designs refer to the store itself; set another one with --api-version %s=%s", which, manifestScopedVersion, store, manifestScopedVersion)
		}
	}
}

// some lists the first 3 of several names.
func some(what string, names []string) string {
	const most = 3
	quoted := make([]string, 0, most)
	for _, name := range names[:min(most, len(names))] {
		quoted = append(quoted, arm.Clip(name))
	}
	out := strings.Join(quoted, ", ")
	if more := len(names) - len(quoted); more > 0 {
		out += fmt.Sprintf(" and %d more", more)
	}
	if len(names) == 1 {
		return "the " + what + " " + out
	}
	return "the " + what + "s " + out
}

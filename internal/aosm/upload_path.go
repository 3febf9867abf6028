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

// referenceForms are the forms of references to a store and to its manifests.
type referenceForms struct{ old, new bool }

// question is what the input does not say of the manifests of one store: which API version they were made
// with. It is asked once, or answered once.
type question struct {
	store arm.ID
	at    *document.Node
	names []string
	path  v1alpha1.UploadPath // "" without an answer
}

// uploadPath is where the artifacts lie: from the API version 2025-03-30 on, at a path of the manifest's own.
// Answers do not say their version. What is there already, and a reference to the manifest, do: only a
// manifest of that version can be referred to. Else the other references to the store and its manifests
// decide, if all of them have one form; else it is asked, and the manifest left out.
// It returns "" without an answer, and false where one may be asked.
func (im *importer) uploadPath(r input.Resource) (v1alpha1.UploadPath, bool) {
	named := im.manifests[r.ID.Key()]
	there := im.there(v1alpha1.KindArtifactManifest, r.ID).UploadPath
	switch {
	case r.API >= cleanUp:
		return v1alpha1.ManifestScoped, true
	case r.API != "":
		if named {
			im.Tell(finding.Note, r.Value.Node, "a version refers to it, which needs it to be made with the API version %s: it stays StoreScoped, and keeps nothing, until its uploadPath is changed to ManifestScoped", cleanUp)
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

// tellQuestions reports each store once.
func (im *importer) tellQuestions() {
	for _, q := range im.questions {
		store := arm.Clip(q.store.Publisher() + "/" + q.store.Name())
		which := fmt.Sprintf("the API version of %s of the store %s is not in the input", some("manifest", q.names), store)
		switch q.path {
		case "":
			im.Tell(finding.NotMapped, q.at, "%s, so the repositories of the artifacts are unknown: not imported; import again with --api-version %s, or with an earlier version such as %s (for this store only: --api-version %s=%s)", which, cleanUp, versions[1], store, cleanUp)
		case v1alpha1.ManifestScoped:
			im.Tell(finding.Note, q.at, "%s: %s is assumed, because definitions or designs refer to other manifests of the store; set another one with --api-version %s=%s", which, cleanUp, store, versions[1])
		default:
			im.Tell(finding.Note, q.at, "%s: a version before %s is assumed, because all definitions and designs refer to the store itself; set another one with --api-version %s=%s", which, cleanUp, store, cleanUp)
		}
	}
}

// some are the first of several names.
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

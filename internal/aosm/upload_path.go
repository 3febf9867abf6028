package aosm

import (
	"fmt"
	"strings"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// referenceForms are the forms of references to a store and to its manifests.
type referenceForms struct{ old, new bool }

// question is what the input does not say of the manifests of one store: which API version they were made
// with. It is asked once, or answered once.
type question struct {
	store resourceID
	at    *node
	names []string
	path  v1alpha1.UploadPath // "" where there is no answer
}

// uploadPath is where the artifacts lie: from the API version 2025-03-30 on, at a path of the manifest's own.
// Answers do not say their version. What is there already, and a reference to the manifest, do: only a
// manifest of that version can be referred to. Else the other references to the store and its manifests
// decide, if all of them have one form; else it is asked, and the manifest left out.
// It returns "" where there is no answer, and false where one may be asked.
func (im *importer) uploadPath(r resource) (v1alpha1.UploadPath, bool) {
	named := im.manifests[r.id.key()]
	there := im.there(v1alpha1.KindArtifactManifest, r.id).UploadPath
	switch {
	case r.api >= cleanUp:
		return v1alpha1.ManifestScoped, true
	case r.api != "":
		if named {
			im.tell(Note, r.value.node, "a version refers to it, which needs it to be made with the API version %s: it stays StoreScoped, and keeps nothing, until its uploadPath is changed to ManifestScoped", cleanUp)
		}
		return v1alpha1.StoreScoped, true
	case named:
		return v1alpha1.ManifestScoped, true
	case there != "":
		return there, true
	}
	switch im.forms[r.id.parent().key()] {
	case referenceForms{new: true}:
		return v1alpha1.ManifestScoped, false
	case referenceForms{old: true}:
		return v1alpha1.StoreScoped, false
	}
	return "", false
}

func (im *importer) ask(r resource, path v1alpha1.UploadPath) {
	store := r.id.parent()
	q := im.asked[store.key()]
	if q == nil {
		q = &question{store: store, at: r.value.node, path: path}
		im.asked[store.key()] = q
		im.questions = append(im.questions, q)
	}
	q.names = append(q.names, r.id.name())
}

// tellQuestions reports each store once.
func (im *importer) tellQuestions() {
	for _, q := range im.questions {
		store := clip(q.store.publisher() + "/" + q.store.name())
		which := fmt.Sprintf("the API version of %s of the store %s is not in the input", some("manifest", q.names), store)
		switch q.path {
		case "":
			im.tell(NotMapped, q.at, "%s, so the repositories of the artifacts are unknown: not imported; import again with --api-version %s, or with an earlier version such as %s (for this store only: --api-version %s=%s)", which, cleanUp, versions[1], store, cleanUp)
		case v1alpha1.ManifestScoped:
			im.tell(Note, q.at, "%s: %s is assumed, because definitions or designs refer to other manifests of the store; set another one with --api-version %s=%s", which, cleanUp, store, versions[1])
		default:
			im.tell(Note, q.at, "%s: a version before %s is assumed, because all definitions and designs refer to the store itself; set another one with --api-version %s=%s", which, cleanUp, store, cleanUp)
		}
	}
}

// some are the first of several names.
func some(what string, names []string) string {
	const most = 3
	quoted := make([]string, 0, most)
	for _, name := range names[:min(most, len(names))] {
		quoted = append(quoted, clip(name))
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

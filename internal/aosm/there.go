package aosm

import (
	"cmp"
	"slices"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/aosm/arm"
)

// There is an object of an earlier import. It keeps its name and namespace.
type There struct {
	Kind, Namespace, Name string
	// ID is its id in AOSM.
	ID string
	// URL is the URL of a store's registry.
	URL string
	// UploadPath is the upload path of a manifest.
	UploadPath v1alpha1.UploadPath
}

// ThereOf returns the There of an object in the cluster. It returns false for an object that no import has made.
func ThereOf(o client.Object, kind string) (There, bool) {
	t := There{Kind: kind, Namespace: o.GetNamespace(), Name: o.GetName(), ID: o.GetAnnotations()[AnnotationID]}
	switch o := o.(type) {
	case *v1alpha1.ArtifactStore:
		t.URL = o.RegistryURL()
	case *v1alpha1.ArtifactManifest:
		t.UploadPath = o.Spec.UploadPath
	}
	return t, t.ID != ""
}

// thereKey returns a key that is the same for ids that can be of one resource.
func thereKey(kind string, id arm.ID) string {
	return kind + "\n" + id.Type() + "\n" + arm.Fold(strings.Join(id.Names, "\n"))
}

// earlier groups objects by thereKey, sorted by namespace and name.
func earlier(all []There) map[string][]There {
	by := map[string][]There{}
	for _, t := range all {
		if id, err := arm.ParseID(t.ID); err == nil {
			key := thereKey(t.Kind, id)
			by[key] = append(by[key], t)
		}
	}
	for _, ts := range by {
		slices.SortFunc(ts, func(a, b There) int {
			return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
		})
	}
	return by
}

// taken returns the ids of the objects by nameKey.
func taken(all []There) map[string]arm.ID {
	names := map[string]arm.ID{}
	for _, t := range all {
		if id, err := arm.ParseID(t.ID); err == nil {
			names[nameKey(t.Kind, t.Namespace, t.Name)] = id
		}
	}
	return names
}

// isTaken reports whether an object of another resource of the same publisher has the name. A
// conflict with another publisher's object, or with one that differs only in its subscription
// or resource group, is refused when the object is applied: a namespace is for one publisher.
func (im *importer) isTaken(l link, in, name string) bool {
	id, ok := im.taken[nameKey(l.kind, in, name)]
	return ok && arm.Fold(id.Publisher()) == arm.Fold(l.id.Publisher()) && thereKey(l.kind, id) != thereKey(l.kind, l.id)
}

func nameKey(kind, namespace, name string) string { return kind + "\n" + namespace + "\n" + name }

// there returns the existing object for a resource, in the namespace
// of the options if one is set; the zero There if none exists.
func (im *importer) there(kind string, id arm.ID) There {
	return im.thereIn(kind, id, im.options.Namespace)
}

// thereIn returns the existing object for a resource in a namespace; "" is any. An object with the
// same scope goes before one with only parts of it. If several objects have only parts, none is taken.
func (im *importer) thereIn(kind string, id arm.ID, namespace string) There {
	var likely []There
	for _, t := range im.earlier[thereKey(kind, id)] {
		other, err := arm.ParseID(t.ID)
		if err != nil || (namespace != "" && t.Namespace != namespace) || arm.Differ(id.Subscription, other.Subscription) || arm.Differ(id.Group, other.Group) {
			continue
		}
		if arm.Fold(id.Subscription) == arm.Fold(other.Subscription) && arm.Fold(id.Group) == arm.Fold(other.Group) {
			return t
		}
		likely = append(likely, t)
	}
	if len(likely) == 1 {
		return likely[0]
	}
	return There{}
}

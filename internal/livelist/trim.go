package livelist

import (
	"maps"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// Trim drops from an object of the product's kinds what no decision of the manager reads and users can make large:
// the annotations that are not the operator's, labels, owners and the certificates of a store, which are read by
// name when its registry is opened. An object that was trimmed is written by patches and by its status alone, which
// change nothing else. Objects of other kinds stay as they are.
func Trim(o client.Object) {
	switch o := o.(type) {
	case *v1alpha1.ArtifactStore:
		o.Spec.Registry.CABundle = nil
	case *v1alpha1.ArtifactManifest, *v1alpha1.Tombstone, *v1alpha1.SiteNetworkService,
		*v1alpha1.NetworkFunctionDefinitionVersion, *v1alpha1.NetworkServiceDesignVersion:
	default:
		return
	}
	o.SetLabels(nil)
	o.SetOwnerReferences(nil)
	kept := o.GetAnnotations()
	maps.DeleteFunc(kept, func(name, _ string) bool { return !slices.Contains(v1alpha1.Annotations, name) })
	if len(kept) == 0 {
		kept = nil
	}
	o.SetAnnotations(kept)
}

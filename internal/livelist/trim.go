package livelist

import (
	"maps"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// maxPaths is the most bytes of values paths that are kept of a definition. An ordinary definition has a few hundred.
const maxPaths = 32 << 10

// shortenedMark is the annotation of definitions whose values paths
// Trim has dropped. Users cannot set it, because Trim drops it.
const shortenedMark = "shortened"

// Trim drops from an object of the product's kinds what no decision of the manager reads and users can make large:
// annotations other than the operator's, labels, owners, the order in which applications are installed, and the
// certificates of a store, which are read by name when its registry is opened. A trimmed object must only be
// written by patches and through its status, which change nothing else. Objects of other kinds are not changed.
func Trim(o client.Object) {
	shortened := false
	switch o := o.(type) {
	case *v1alpha1.ArtifactStore:
		o.Spec.Registry.CABundle = nil
	case *v1alpha1.NetworkFunctionDefinitionVersion:
		shortened = trimDefinition(o)
	case *v1alpha1.ArtifactManifest, *v1alpha1.Artifact, *v1alpha1.Tombstone, *v1alpha1.NetworkServiceDesignVersion, *v1alpha1.SiteNetworkService:
	default:
		return
	}
	o.SetLabels(nil)
	o.SetOwnerReferences(nil)
	kept := o.GetAnnotations()
	KeepOwn(kept)
	switch {
	case shortened && kept == nil:
		kept = map[string]string{shortenedMark: ""}
	case shortened:
		kept[shortenedMark] = ""
	case len(kept) == 0:
		kept = nil
	}
	o.SetAnnotations(kept)
}

// KeepOwn drops the annotations that are not the operator's.
func KeepOwn(annotations map[string]string) {
	maps.DeleteFunc(annotations, func(name, _ string) bool { return !slices.Contains(v1alpha1.Annotations, name) })
}

// trimDefinition reports whether it has also dropped the values paths.
func trimDefinition(d *v1alpha1.NetworkFunctionDefinitionVersion) (shortened bool) {
	apps, size := d.Spec.NetworkFunctionTemplate.NetworkFunctionApplications, 0
	for i := range apps {
		apps[i].DependsOnProfile = nil
		helm := apps[i].ArtifactProfile.HelmArtifactProfile
		for _, paths := range [][]string{helm.RegistryValuesPaths, helm.ImagePullSecretsValuesPaths} {
			for _, path := range paths {
				size += len(path)
			}
		}
	}
	if size <= maxPaths {
		return false
	}
	for i := range apps {
		helm := &apps[i].ArtifactProfile.HelmArtifactProfile
		helm.RegistryValuesPaths, helm.ImagePullSecretsValuesPaths = nil, nil
	}
	return true
}

// Shortened reports whether Trim has dropped the values paths of a definition, because they have more
// than maxPaths bytes. A caller that needs them, to read its charts, must read the definition by name.
func Shortened(d *v1alpha1.NetworkFunctionDefinitionVersion) bool {
	_, is := d.Annotations[shortenedMark]
	return is
}

package aosm

import (
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/aosm/arm"
)

// Keep changes wanted, the object of an import, before it is applied over the existing object. The existing object
// keeps a state that the input does not say, a store's URL if the wanted one is only assumed, and the parts of the
// id that the input does not say. So the order in which answers and templates are imported does not matter.
//
// Keep reports whether it unsealed a sealed manifest that moves to its own path. An import cannot know
// whether the artifacts are at that path, so the manifest stays unsealed until they are seen there.
func Keep(there, wanted client.Object, assumed bool) (unsealed bool) {
	annotations := wanted.GetAnnotations()
	if id := there.GetAnnotations()[AnnotationID]; id != "" && annotations != nil {
		annotations[AnnotationID] = arm.Fuller(id, annotations[AnnotationID])
		wanted.SetAnnotations(annotations)
	}
	switch w := wanted.(type) {
	case *v1alpha1.ArtifactStore:
		keepURL(there, w, assumed)
	case *v1alpha1.ArtifactManifest:
		return keepSeal(there, w)
	case *v1alpha1.NetworkFunctionDefinitionVersion:
		if t, ok := there.(*v1alpha1.NetworkFunctionDefinitionVersion); ok {
			w.Spec.VersionState = keptState(t.Spec.VersionState, w.Spec.VersionState)
		}
	case *v1alpha1.NetworkServiceDesignVersion:
		if t, ok := there.(*v1alpha1.NetworkServiceDesignVersion); ok {
			w.Spec.VersionState = keptState(t.Spec.VersionState, w.Spec.VersionState)
		}
	}
	return false
}

func keepURL(there client.Object, w *v1alpha1.ArtifactStore, assumed bool) {
	t, ok := there.(*v1alpha1.ArtifactStore)
	if ok && assumed && t.InClusterRegistry() {
		w.Spec.Registry.URL, w.Spec.Registry.ClusterRegistry = "", t.Spec.Registry.ClusterRegistry
		return
	}
	if ok && t.Spec.Registry.URL != "" && (assumed || SameRegistry(t.Spec.Registry.URL, w.Spec.Registry.URL)) {
		w.Spec.Registry.URL = t.Spec.Registry.URL
	}
}

func keepSeal(there client.Object, w *v1alpha1.ArtifactManifest) (unsealed bool) {
	t, ok := there.(*v1alpha1.ArtifactManifest)
	if !ok {
		return false
	}
	if w.Spec.ArtifactManifestState == "" && t.Spec.ArtifactManifestState == v1alpha1.ManifestUploaded {
		w.Spec.ArtifactManifestState = v1alpha1.ManifestUploaded
	}
	moves := t.Spec.UploadPath == v1alpha1.StoreScoped && w.Spec.UploadPath == v1alpha1.ManifestScoped
	if !moves || w.Spec.ArtifactManifestState != v1alpha1.ManifestUploaded {
		return false
	}
	w.Spec.ArtifactManifestState = v1alpha1.ManifestUploading
	return true
}

func keptState(there, wanted v1alpha1.VersionState) v1alpha1.VersionState {
	if wanted == "" && (there == v1alpha1.VersionActive || there == v1alpha1.VersionDeprecated) {
		return there
	}
	return wanted
}

// SameRegistry reports whether two URLs are of the same registry and path.
func SameRegistry(a, b string) bool {
	x, errX := v1alpha1.ParseRegistryURL(a)
	y, errY := v1alpha1.ParseRegistryURL(b)
	return errX == nil && errY == nil && x == y
}

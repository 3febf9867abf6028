package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var (
	// GroupVersion is the API group and version of every kind in this package.
	GroupVersion = schema.GroupVersion{Group: "nfo.dev", Version: "v1alpha1"}

	schemeBuilder = runtime.NewSchemeBuilder(addKnownTypes)

	// AddToScheme registers every kind of this package with a scheme.
	AddToScheme = schemeBuilder.AddToScheme
)

// The kinds of this package, as they stand in a manifest's "kind".
const (
	KindArtifactStore    = "ArtifactStore"
	KindArtifactManifest = "ArtifactManifest"
	KindDefinition       = "NetworkFunctionDefinitionVersion"
	KindDesign           = "NetworkServiceDesignVersion"
	KindSite             = "SiteNetworkService"
	KindTombstone        = "Tombstone"
	KindArtifact         = "Artifact"
)

func addKnownTypes(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion,
		&ArtifactStore{}, &ArtifactStoreList{},
		&ArtifactManifest{}, &ArtifactManifestList{},
		&NetworkFunctionDefinitionVersion{}, &NetworkFunctionDefinitionVersionList{},
		&NetworkServiceDesignVersion{}, &NetworkServiceDesignVersionList{},
		&SiteNetworkService{}, &SiteNetworkServiceList{},
		&Tombstone{}, &TombstoneList{},
		&Artifact{}, &ArtifactList{},
	)
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}

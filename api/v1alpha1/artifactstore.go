package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ArtifactStore is one OCI registry, or one path prefix in a registry, that the
// artifacts of this namespace's manifests are in. It is deleted only when no
// ArtifactManifest and no old-form reference names it.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:metadata:labels="app.kubernetes.io/name=nfo"
// +kubebuilder:resource:shortName=as,categories=nfo
// +kubebuilder:selectablefield:JSONPath=`.spec.registry.url`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="URL",type=string,JSONPath=`.status.url`
// +kubebuilder:printcolumn:name="Manifests",type=integer,JSONPath=`.status.manifests`
// +kubebuilder:printcolumn:name="Used %",type=integer,JSONPath=`.status.usage.percent`
// +kubebuilder:printcolumn:name="Tombstones",type=integer,JSONPath=`.status.tombstones`
// +kubebuilder:printcolumn:name="Last Purge",type=date,JSONPath=`.status.lastPurge.completionTime`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 46",message="the name of an ArtifactStore has at most 46 characters, because its CronJob is called <name>-purge"
type ArtifactStore struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// What the store is. Required.
	// +required
	Spec ArtifactStoreSpec `json:"spec"`

	// What the operator has seen of it. Written by the operator only.
	// +optional
	Status ArtifactStoreStatus `json:"status,omitempty"`
}

// ArtifactStoreSpec says where the registry is and how it is purged.
//
// +kubebuilder:validation:XValidation:rule="!has(self.mirror) || has(self.registry.clusterRegistry)",message="a mirror is in the registry that nfo ships: set registry.clusterRegistry"
// +kubebuilder:validation:XValidation:rule="has(self.mirror) == has(oldSelf.mirror)",message="a store cannot become or stop being the mirror; make another store"
// +kubebuilder:validation:XValidation:rule="!has(self.purge) || !has(self.purge.usage) || self.purge.usage != 'Registry' || has(self.registry.clusterRegistry)",message="usage Registry needs registry.clusterRegistry: only the registry that nfo ships reports how full its volume is"
type ArtifactStoreSpec struct {
	// The backing registry. Required.
	// +required
	Registry RegistrySpec `json:"registry"`

	// The quantity of bytes that counts as 100 % of the store, such as 100Gi. With purge.usage Registry
	// the default is the size of the registry's volume. With Accounted there is no default: a purge that
	// has a threshold and no capacity deletes nothing. With Volume it has no effect.
	// +optional
	Capacity *resource.Quantity `json:"capacity,omitempty"`

	// When and how released artifacts are removed permanently. Absent: every default below.
	// +optional
	// +kubebuilder:default={}
	Purge PurgeSpec `json:"purge,omitempty"`

	// Whose running workloads keep artifacts of this store. Absent: only objects of this group do.
	// +optional
	Workloads *WorkloadsSpec `json:"workloads,omitempty"`

	// This store is the cluster's mirror: it has copies of the images that workloads use, one Artifact for each, and no
	// ArtifactManifests. There is one, which the chart makes (Helm: mirror.enabled) in the operator's namespace, with the
	// name mirror; another one is refused.
	// +optional
	Mirror *MirrorSpec `json:"mirror,omitempty"`
}

// RegistrySpec says which OCI registry a store is in: one with a URL, or the registry that nfo ships.
//
// +kubebuilder:validation:XValidation:rule="has(self.url) != has(self.clusterRegistry)",message="give exactly one of url and clusterRegistry"
// +kubebuilder:validation:XValidation:rule="has(self.url) == has(oldSelf.url)",message="a store cannot move between url and clusterRegistry; make another store"
// +kubebuilder:validation:XValidation:rule="!has(self.clusterRegistry) || (!has(self.credentialsSecretRef) && !has(self.caBundle))",message="a store with clusterRegistry has neither credentialsSecretRef nor caBundle: nfo logs in with its own ServiceAccount"
type RegistrySpec struct {
	// Scheme, host and optional repository prefix: https://registry.example.com/acme.
	// http:// means plain HTTP. No user, query or fragment. Cannot be changed. URLs are
	// disjoint over the whole cluster, whatever their scheme: where two stores' URLs are equal or
	// one is a prefix of the other by path segments, the store that was Ready first wins, and of
	// stores that never were Ready the older one. The other does nothing. Where the administrator's
	// list of places names a place, only stores of its namespaces are admitted there and count.
	// Exactly one of url and clusterRegistry is required.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:Pattern=`^https?://[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*/?$`
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="the registry URL of a store cannot be changed; make another store"
	URL string `json:"url,omitempty"`

	// The store is in the registry that nfo ships (Helm: registry.enabled). It needs no URL, Secret or
	// certificate: {} is enough. status.url says where to push. Exactly one of url and clusterRegistry is
	// required.
	// +optional
	ClusterRegistry *ClusterRegistrySpec `json:"clusterRegistry,omitempty"`

	// A Secret of this namespace, of type kubernetes.io/dockerconfigjson or
	// kubernetes.io/basic-auth, with the right to read, push and delete. Absent: anonymous.
	// The user who sets or changes this field needs the right to get that Secret. Over http://
	// to another machine, only dockerconfigjson entries whose key begins with http:// and
	// basic-auth logins are sent.
	// +optional
	CredentialsSecretRef *LocalReference `json:"credentialsSecretRef,omitempty"`

	// PEM certificates, base64, that the registry's certificate must chain to. Absent: the
	// system's certificates.
	// +optional
	// +kubebuilder:validation:MaxLength=262144
	CABundle []byte `json:"caBundle,omitempty"`
}

// ClusterRegistrySpec says where in the registry that nfo ships a store is.
//
// +kubebuilder:validation:XValidation:rule="has(self.prefix) == has(oldSelf.prefix)",message="the prefix of a store cannot be changed; make another store"
type ClusterRegistrySpec struct {
	// The repository prefix of the store, without slashes at its ends: acme/radio. Default: the name of
	// the store's namespace. A prefix belongs to one store, as a URL does. A prefix that is neither the
	// namespace's name nor below it needs an entry in the administrator's list of places (Helm:
	// places.list), so that no namespace can take another one's. Cannot be changed.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=200
	// +kubebuilder:validation:Pattern=`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="the prefix of a store cannot be changed; make another store"
	Prefix string `json:"prefix,omitempty"`
}

// LocalReference names an object of the same namespace.
type LocalReference struct {
	// The object's whole name, as Kubernetes names objects. Required.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
	Name string `json:"name"`
}

// ArtifactStoreList is a list of ArtifactStores.
// +kubebuilder:object:root=true
type ArtifactStoreList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ArtifactStore `json:"items"`
}

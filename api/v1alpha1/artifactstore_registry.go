package v1alpha1

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

// Support says whether a registry can do a thing: Unknown until it was tried.
// +kubebuilder:validation:Enum=Unknown;Supported;Unsupported
type Support string

// What is known of a capability.
const (
	SupportUnknown Support = "Unknown"
	Supported      Support = "Supported"
	Unsupported    Support = "Unsupported"
)

// RegistryCapabilities is what was learnt of the registry by using it. Nothing is
// written to a registry in order to learn it.
type RegistryCapabilities struct {
	// Whether a tag can be removed alone, its digest staying. Learnt at the first release.
	// Unsupported: a released tag stays until the purge removes it with its digest.
	// +optional
	TagDelete Support `json:"tagDelete,omitempty"`

	// Whether deletion is enabled at the registry at all. Learnt at the first release or
	// purge. Unsupported: tombstones wait, and the store says so.
	// +optional
	Delete Support `json:"delete,omitempty"`
}

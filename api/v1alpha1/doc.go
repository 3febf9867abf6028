// Package v1alpha1 defines the custom resources of nfo: what a publisher
// declares (stores, manifests, definitions, designs) and what the operator
// records (tombstones).
//
// Contract: this package is data and pure functions over it. It imports the
// standard library, k8s.io/api and k8s.io/apimachinery only, so that every other
// package, and any client, may import it. Field names follow those of Azure
// Operator Service Manager (AOSM, Microsoft.HybridNetwork) where it has one.
//
// Decision: a namespace stands for an AOSM publisher and every reference stays
// inside it. Rejected: one cluster-scoped publisher kind, because namespaces already
// carry quotas, RBAC and deletion as a whole.
//
// Decision: long lists that are always written whole, as in a status, are atomic. Rejected: lists of type map, for which
// the API server notes the owner of each entry: a write of 200 of them took 1.6 times as long.
//
// +kubebuilder:object:generate=true
// +groupName=nfo.dev
package v1alpha1

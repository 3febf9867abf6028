package v1alpha1

import (
	"cmp"
	"fmt"
	"strings"
)

// ClusterRegistryHost stands for the registry that nfo ships wherever a place is named: in tombstones, in the
// administrator's list of places, and in messages. It is an identifier and not an address, so that a store stays the
// same place when the registry's address changes. No program connects to it.
const ClusterRegistryHost = "cluster-registry.nfo.dev"

// ClusterRegistryAudience is whom the tokens are for that clients log in with to the registry that nfo ships.
const ClusterRegistryAudience = "nfo-registry"

// InClusterRegistry reports whether the store is in the registry that nfo ships.
func (s *ArtifactStore) InClusterRegistry() bool { return s.Spec.Registry.ClusterRegistry != nil }

// RegistryURL returns the URL that identifies the store's place: spec.registry.url or, in the registry that nfo ships,
// https://cluster-registry.nfo.dev/<prefix>. It is not the address to push to; see Status.URL.
func (s *ArtifactStore) RegistryURL() string {
	in := s.Spec.Registry.ClusterRegistry
	if in == nil {
		return s.Spec.Registry.URL
	}
	return "https://" + ClusterRegistryHost + "/" + cmp.Or(in.Prefix, s.Namespace)
}

// Location returns the store's place, by which stores are distinguished. Errors wrap ErrRegistryURL.
func (s *ArtifactStore) Location() (RegistryLocation, error) {
	l, err := ParseRegistryURL(s.RegistryURL())
	if err == nil && !s.InClusterRegistry() && l.InClusterRegistry() {
		return RegistryLocation{}, fmt.Errorf("%w: the host %s stands for the cluster's own registry; use spec.registry.clusterRegistry", ErrRegistryURL, ClusterRegistryHost)
	}
	return l, err
}

// InClusterRegistry reports whether a location is in the registry that nfo ships.
func (l RegistryLocation) InClusterRegistry() bool { return l.RegistryName() == ClusterRegistryHost }

// At returns the same prefix at another address, given as scheme://host or host; without a scheme it is https.
// Errors wrap ErrRegistryURL.
func (l RegistryLocation) At(address string) (RegistryLocation, error) {
	if !strings.Contains(address, "://") {
		address = "https://" + address
	}
	at, err := ParseRegistryURL(address)
	if err == nil && at.Prefix != "" {
		err = fmt.Errorf("%w: an address of a registry has no path", ErrRegistryURL)
	}
	at.Prefix = l.Prefix
	return at, err
}

// String returns the location as a URL.
func (l RegistryLocation) String() string {
	scheme := "https://"
	if l.PlainHTTP {
		scheme = "http://"
	}
	return strings.TrimSuffix(scheme+l.Host+"/"+l.Prefix, "/")
}

// Names returns the locations by which clients and image references may name what is in the store: its place and,
// where that is another one, Status.URL. Errors wrap ErrRegistryURL, and are of the place alone.
func (s *ArtifactStore) Names() ([]RegistryLocation, error) {
	here, err := s.Location()
	if err != nil {
		return nil, err
	}
	all := []RegistryLocation{here}
	if !s.InClusterRegistry() {
		return all, nil
	}
	if at, err := ParseRegistryURL(s.Status.URL); err == nil {
		all = append(all, at)
	}
	return all, nil
}

// Address returns the URL at which people find the store: Status.URL in the registry that nfo ships, once it is known,
// and otherwise RegistryURL.
func (s *ArtifactStore) Address() string {
	if s.InClusterRegistry() && s.Status.URL != "" {
		return s.Status.URL
	}
	return s.RegistryURL()
}

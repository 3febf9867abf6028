package store

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/place"
)

// lookupLimit is the longest time that resolving a registry's host may take.
const lookupLimit = 2 * time.Second

// sharing is another store that may be in the same registry under another name, and the reason to think so.
type sharing struct {
	with *v1alpha1.ArtifactStore
	// address is an address that both hosts resolve to; repository is a repository in which both stores have artifacts.
	address, repository string
}

// says returns the message of PurgeHealthy; "" if there is no such store.
func (s *sharing) says() string {
	if s == nil {
		return ""
	}
	return fmt.Sprintf("Store %s/%s (%s) may be in the same registry under another name: both hosts resolve to %s, and both stores have artifacts in repository %s. "+
		"Purges of this store delete nothing, and its releases leave tags that manifests of that store list. "+
		"If it is one registry, delete one of the two stores. If there are two, ask an administrator to name the places of both (Helm: places.list).",
		s.with.Namespace, s.with.Name, s.with.RegistryURL(), s.address, s.repository)
}

// addresses resolves a registry's host; nil if that fails, for example because only a proxy can resolve it.
func (r *Reconciler) addresses(ctx context.Context, l v1alpha1.RegistryLocation) []string {
	host, port := l.Host, "443"
	if l.PlainHTTP {
		port = "80"
	}
	if name, p, err := net.SplitHostPort(l.Host); err == nil {
		host, port = name, p
	}
	ctx, cancel := context.WithTimeout(ctx, lookupLimit)
	defer cancel()
	found, err := r.Lookup(ctx, strings.Trim(host, "[]"))
	if err != nil {
		return nil
	}
	return endpoints(found, port)
}

// thisMachine represents all addresses of the machine itself.
var thisMachine = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// endpoints formats addresses with a port for a status: each once, sorted, at most v1alpha1.MaxAddresses.
func endpoints(found []netip.Addr, port string) []string {
	all := make([]string, 0, len(found))
	for _, a := range found {
		if a = a.Unmap().WithZone(""); a.IsLoopback() || a.IsUnspecified() {
			a = thisMachine
		}
		all = append(all, net.JoinHostPort(a.String(), port))
	}
	slices.Sort(all)
	all = slices.Compact(all)
	return all[:min(len(all), v1alpha1.MaxAddresses)]
}

// remembered returns the addresses for the status after a ping. If a ping finds only known addresses,
// the known ones stay, because resolvers may answer with different parts of many addresses in turn.
func remembered(known, found []string) []string {
	if !slices.ContainsFunc(found, func(a string) bool { return !slices.Contains(known, a) }) {
		return known
	}
	return found
}

// sharing returns the first of the stores in doubt that has artifacts in a repository of
// s; nil for none. Stores without a common repository cannot delete each other's content.
func (r *Reconciler) sharing(ctx context.Context, s *v1alpha1.ArtifactStore, doubts []*v1alpha1.ArtifactStore) (*sharing, error) {
	if len(doubts) == 0 {
		return nil, nil
	}
	own, err := r.contents(ctx, s.Namespace)
	if err != nil {
		return nil, err
	}
	mine := own.of(s)
	read := map[string]*contents{s.Namespace: own}
	for _, o := range doubts {
		if read[o.Namespace] == nil {
			if read[o.Namespace], err = r.contents(ctx, o.Namespace); err != nil {
				return nil, err
			}
		}
		var common []string
		for repository := range read[o.Namespace].of(o) {
			if mine[repository] {
				common = append(common, repository)
			}
		}
		if len(common) > 0 {
			return &sharing{with: o, address: place.SharedAddress(s, o), repository: slices.Min(common)}, nil
		}
	}
	return nil, nil
}

// contents are a namespace's manifests by the name of their store, and
// its tombstones by the URL of their registry. They are only read.
type contents struct {
	manifests  map[string][]*v1alpha1.ArtifactManifest
	tombstones map[string][]*v1alpha1.Tombstone
}

func (r *Reconciler) contents(ctx context.Context, namespace string) (*contents, error) {
	var manifests v1alpha1.ArtifactManifestList
	if err := r.List(ctx, &manifests, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing the manifests of namespace %s: %w", namespace, err)
	}
	var tombstones v1alpha1.TombstoneList
	if err := r.List(ctx, &tombstones, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing the tombstones of namespace %s: %w", namespace, err)
	}
	c := &contents{manifests: map[string][]*v1alpha1.ArtifactManifest{}, tombstones: map[string][]*v1alpha1.Tombstone{}}
	for i := range manifests.Items {
		m := &manifests.Items[i]
		c.manifests[m.Spec.ArtifactStoreRef.Name] = append(c.manifests[m.Spec.ArtifactStoreRef.Name], m)
	}
	for i := range tombstones.Items {
		t := &tombstones.Items[i]
		c.tombstones[t.Spec.RegistryURL] = append(c.tombstones[t.Spec.RegistryURL], t)
	}
	return c, nil
}

// of returns the repositories that the manifests and tombstones of a store reference.
func (c *contents) of(s *v1alpha1.ArtifactStore) map[string]bool {
	all := map[string]bool{}
	at, err := s.Location()
	if err != nil {
		return all
	}
	for _, m := range c.manifests[s.Name] {
		for _, a := range m.Spec.Artifacts {
			all[at.Repository(m.Name, m.Spec.UploadPath, a.ArtifactName)] = true
		}
		for _, a := range m.Status.Artifacts {
			all[a.Repository] = true
		}
	}
	for url, ts := range c.tombstones {
		if there, err := v1alpha1.ParseRegistryURL(url); err != nil || !there.Same(at) {
			continue
		}
		for _, t := range ts {
			for _, a := range t.Spec.Artifacts {
				all[a.Repository] = true
			}
		}
	}
	return all
}

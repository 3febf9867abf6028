// Package place says which namespaces may have stores in which registry or part of one, and which stores may
// be in the same registry under different names. It is pure: it reads objects and the administrator's list, and
// asks neither the cluster nor a registry.
//
// Decision: the list is a file of the manager, rendered from the chart's values. Rejected: a cluster-scoped
// kind, which every tenant's purge pod would need a right to read. A purge goes by the store's Ready condition
// instead, which it reads again within 5 seconds before each deletion. An argument of its pod would be as old
// as the pod.
//
// Decision: stores that share an address are in doubt, and nothing of either is deleted. Rejected: to let one of
// them win, because one address can serve many registries; a mark in the registry, because it needs writes
// before anything is known of the registry.
package place

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// Who may use places that no entry of the list names.
const (
	Allow = "Allow"
	Deny  = "Deny"
)

// file is how a list is written.
type file struct {
	// Default is Allow or Deny; empty means Allow.
	Default string `json:"default"`
	Places  []struct {
		// Registry is host[:port][/prefix], without a scheme.
		Registry string `json:"registry"`
		// Namespaces may be empty: then no namespace may use the place.
		Namespaces []string `json:"namespaces"`
	} `json:"places"`
}

// Rules are an administrator's list of places. The zero value lets every namespace use every place.
type Rules struct {
	deny    bool
	entries []entry
}

// entry is a place and the namespaces that it is for, sorted.
type entry struct {
	name       string
	at         v1alpha1.RegistryLocation
	namespaces []string
}

// Read reads a list from a file. Without a name it has no places.
func Read(name string) (Rules, error) {
	if name == "" {
		return Rules{}, nil
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return Rules{}, fmt.Errorf("reading the list of places: %w", err)
	}
	rules, err := Parse(text)
	if err != nil {
		return Rules{}, fmt.Errorf("reading the list of places %s: %w", name, err)
	}
	return rules, nil
}

// Parse reads a list in YAML or JSON. Unknown fields, places that cannot be used, and places that are named twice
// are errors, all of which are returned.
func Parse(text []byte) (Rules, error) {
	var f file
	if len(bytes.TrimSpace(text)) == 0 {
		return Rules{}, errors.New("it is empty; for a list that names no place write places: []")
	}
	if err := yaml.UnmarshalStrict(text, &f); err != nil {
		return Rules{}, fmt.Errorf("decoding YAML: %w", err)
	}
	var errs []error
	if f.Default != "" && f.Default != Allow && f.Default != Deny {
		errs = append(errs, fmt.Errorf("default is %q; it must be %s or %s", f.Default, Allow, Deny))
	}
	rules := Rules{deny: f.Default == Deny}
	for i, p := range f.Places {
		e, err := newEntry(p.Registry, p.Namespaces)
		if err == nil {
			err = rules.twice(e)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("places[%d], registry %q: %w", i, p.Registry, err))
			continue
		}
		rules.entries = append(rules.entries, e)
	}
	slices.SortFunc(rules.entries, func(a, b entry) int { return cmp.Compare(a.name, b.name) })
	return rules, errors.Join(errs...)
}

// written is how a place is written: what a store's URL may have after its scheme, addresses of IPv6, and a dot at
// the end of the host.
var written = regexp.MustCompile(`^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?\.?)(:[0-9]{1,5})?(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*/?$`)

func newEntry(registry string, namespaces []string) (entry, error) {
	if strings.Contains(registry, "://") {
		return entry{}, errors.New("leave out the scheme; a place is the same over HTTP and HTTPS")
	}
	if !written.MatchString(registry) {
		return entry{}, errors.New("it must be host[:port][/prefix] as in the URL of a store, without wildcards; an internationalized name in its xn-- form, a prefix in lower case")
	}
	at, err := v1alpha1.ParseRegistryURL("https://" + registry)
	if err != nil {
		return entry{}, err
	}
	for _, n := range namespaces {
		if problems := validation.IsDNS1123Label(n); len(problems) > 0 {
			return entry{}, fmt.Errorf("%q is not the name of a namespace: %s", n, strings.Join(problems, ", "))
		}
	}
	sorted := slices.Clone(namespaces)
	slices.Sort(sorted)
	return entry{name: strings.TrimSuffix(registry, "/"), at: at, namespaces: slices.Compact(sorted)}, nil
}

func (r Rules) twice(e entry) error {
	for _, have := range r.entries {
		if have.at.Same(e.at) {
			return fmt.Errorf("it is the same place as %q; name it once, with all its namespaces", have.name)
		}
	}
	return nil
}

// Refusal says why a namespace may have no store at a place; nil if it may. The entry with the longest prefix that
// contains the place decides. A place that contains one which the list keeps from the namespace is refused too,
// since the store would reach into it. In the cluster's own registry a place that no entry contains is for the namespace
// whose name its prefix begins with, so that no namespace can take another one's, whichever comes first.
func (r Rules) Refusal(namespace string, at v1alpha1.RegistryLocation) error {
	governs, denied := r.governing(at), r.deny
	if governs != nil {
		denied = !governs.admits(namespace)
	}
	switch own := (v1alpha1.RegistryLocation{Host: v1alpha1.ClusterRegistryHost, Prefix: namespace}); {
	case governs == nil && at.InClusterRegistry() && !own.Contains(at):
		return fmt.Errorf("in the cluster's own registry the prefix of a store in namespace %s is %s or begins with %s/, unless the administrator's list of places says otherwise. "+
			"Use such a prefix, or ask an administrator to add namespace %s to an entry for %s/%s (Helm: places.list)", namespace, namespace, namespace, namespace, at.Host, at.Prefix)
	case denied && governs == nil:
		return fmt.Errorf("the administrator's list of places names no place that contains it, and denies all others to every namespace. %s",
			askAdministrator(namespace, "an entry for it"))
	case denied:
		return fmt.Errorf("%s is reserved for %s by the administrator's list of places. %s", governs.name, governs.whose(), askAdministrator(namespace, "the entry "+governs.name))
	}
	for i := range r.entries {
		if e := &r.entries[i]; at.Contains(e.at) && !e.admits(namespace) {
			return fmt.Errorf("it contains %s, which is reserved for %s by the administrator's list of places. %s", e.name, e.whose(), askAdministrator(namespace, "the entry "+e.name))
		}
	}
	return nil
}

func askAdministrator(namespace, where string) string {
	return fmt.Sprintf("Use another registry or prefix, or ask an administrator to add namespace %s to %s (Helm: places.list)", namespace, where)
}

// governing is the entry with the longest prefix that contains a place; nil for none. There are no two, because no
// place is named twice.
func (r Rules) governing(at v1alpha1.RegistryLocation) *entry {
	var best *entry
	for i := range r.entries {
		if e := &r.entries[i]; e.at.Contains(at) && (best == nil || len(e.at.Prefix) > len(best.at.Prefix)) {
			best = e
		}
	}
	return best
}

func (e *entry) admits(namespace string) bool {
	_, found := slices.BinarySearch(e.namespaces, namespace)
	return found
}

// maxNamed bounds how many namespaces a message names.
const maxNamed = 5

func (e *entry) whose() string {
	switch n := len(e.namespaces); {
	case n == 0:
		return "no namespace"
	case n == 1:
		return "namespace " + e.namespaces[0]
	case n > maxNamed:
		return fmt.Sprintf("namespaces %s and %d more", strings.Join(e.namespaces[:maxNamed], ", "), n-maxNamed)
	}
	return "namespaces " + strings.Join(e.namespaces, ", ")
}

// Admits reports whether a store's namespace may use its place, or the store has none because its URL is invalid.
func (r Rules) Admits(s *v1alpha1.ArtifactStore) bool {
	at, err := s.Location()
	return err != nil || r.Refusal(s.Namespace, at) == nil
}

// Winner is the store among others that s must yield to, as ArtifactStore.Winner, but for those that the list
// does not admit, which win over nobody; nil for none.
func (r Rules) Winner(s *v1alpha1.ArtifactStore, all []v1alpha1.ArtifactStore) *v1alpha1.ArtifactStore {
	for i := range all {
		if w := s.Winner(all[i : i+1]); w != nil && r.Admits(w) {
			return w
		}
	}
	return nil
}

// Package place decides which namespaces may have stores in which registry or part of one, and which stores may
// be in the same registry under different names. It is pure: it works on objects and the administrator's list, and
// reads neither the cluster nor a registry.
//
// Decision: the list is a file of the manager, rendered from the chart's values. Rejected: a cluster-scoped
// kind, because the purge pod of every tenant would need a right to read it. A purge relies on the store's Ready condition
// instead, which it reads again at most 5 seconds before each deletion. Rejected: an argument of the purge pod, because it
// would be as old as the pod.
//
// Decision: if stores share an address, nothing of any of them is deleted. Rejected: to let one of
// them win, because one address can serve many registries. Rejected: a mark in the registry, because it needs writes
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

// Allow and Deny say whether namespaces may use places that the list does not name.
const (
	Allow = "Allow"
	Deny  = "Deny"
)

// file is the format of a list.
type file struct {
	// Default is Allow or Deny; empty means Allow.
	Default string `json:"default"`
	Places  []struct {
		// Registry is host[:port][/prefix], without a scheme.
		Registry string `json:"registry"`
		// Namespaces may use the place. If the list is empty, no namespace may.
		Namespaces []string `json:"namespaces"`
	} `json:"places"`
}

// Rules are an administrator's list of places. The zero value lets every namespace use every place.
type Rules struct {
	deny    bool
	entries []entry
}

// entry is a place with the namespaces that may use it, sorted.
type entry struct {
	name       string
	at         v1alpha1.RegistryLocation
	namespaces []string
}

// Read reads a list from a file. If name is "", the list is empty.
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

// Parse reads a list in YAML or JSON. Unknown fields, invalid places,
// and places that are named twice are errors. Parse returns all of them.
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

// written matches the form of a place: what a store's URL may have
// after its scheme, IPv6 addresses, and a dot at the end of the host.
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

// Refusal returns why a namespace may not have a store at a place, or nil if it may. The entry with the longest prefix
// that contains the place decides. A place that contains an entry for other namespaces is refused too, because the
// store would reach into that entry's place. In the cluster's own registry, a place that no entry contains belongs to
// the namespace that its prefix begins with, so that no namespace can take the place of another one by being first.
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

// governing returns the entry with the longest prefix that contains a place, or
// nil if there is none. There is at most one, because no place is named twice.
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

// maxNamed is the maximum number of namespaces that a message names.
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

// Admits reports whether a store's namespace may use its place. A
// store without a place, because its URL is invalid, is admitted.
func (r Rules) Admits(s *v1alpha1.ArtifactStore) bool {
	at, err := s.Location()
	return err != nil || r.Refusal(s.Namespace, at) == nil
}

// Winner returns the store that s must yield to, or nil if there is none. It
// is ArtifactStore.Winner without the stores that the list does not admit.
func (r Rules) Winner(s *v1alpha1.ArtifactStore, all []v1alpha1.ArtifactStore) *v1alpha1.ArtifactStore {
	for i := range all {
		if w := s.Winner(all[i : i+1]); w != nil && r.Admits(w) {
			return w
		}
	}
	return nil
}

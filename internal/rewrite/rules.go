package rewrite

import (
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// Rules say which images and namespaces are mirrored. The zero Rules mirror nothing.
type Rules struct {
	// address is spec.mirror.pullAddress; "" while it is not known.
	address string
	policy  v1alpha1.RewritePolicy
	all     bool
	// known are the locations of the stores whose images are mirrored. It is empty if all images are.
	known []v1alpha1.RegistryLocation
	// own are the hosts of the registry that nfo ships, as pods and clients reference it.
	own []v1alpha1.RegistryLocation
	// never are images that are not mirrored; see Without.
	never []Image
	// namespace is the namespace of the mirror. selector selects the mirrored namespaces; nil selects none.
	namespace string
	selector  labels.Selector
}

// NewRules returns the rules of the mirror's store, given the other stores of the cluster. Without a mirror, or with
// one that is being deleted, they are the zero Rules.
func NewRules(mirror *v1alpha1.ArtifactStore, stores []v1alpha1.ArtifactStore) Rules {
	if mirror == nil || mirror.Spec.Mirror == nil || !mirror.DeletionTimestamp.IsZero() {
		return Rules{}
	}
	m := mirror.Spec.Mirror
	r := Rules{address: m.PullAddress, policy: m.Rewrite, all: m.Images == v1alpha1.MirrorAll, namespace: mirror.Namespace, selector: labels.Everything()}
	if m.NamespaceSelector != nil {
		// An invalid selector selects nothing.
		r.selector, _ = metav1.LabelSelectorAsSelector(m.NamespaceSelector)
	}
	r.own = append(r.own, v1alpha1.RegistryLocation{Host: v1alpha1.ClusterRegistryHost})
	if host, _, _ := strings.Cut(m.PullAddress, "/"); host != "" {
		r.own = append(r.own, v1alpha1.RegistryLocation{Host: strings.ToLower(host)})
	}
	r.addOwn(mirror)
	for i := range stores {
		if stores[i].InClusterRegistry() {
			r.addOwn(&stores[i])
		} else if at, err := stores[i].Location(); err == nil && !r.all && !stores[i].Refused() {
			r.known = append(r.known, at)
		}
	}
	return r
}

// addOwn adds the host at which clients reach a store in the registry that nfo ships.
func (r *Rules) addOwn(s *v1alpha1.ArtifactStore) {
	if at, err := v1alpha1.ParseRegistryURL(s.Status.URL); err == nil && !r.inOwn(at) {
		r.own = append(r.own, v1alpha1.RegistryLocation{Host: at.Host})
	}
}

func (r *Rules) inOwn(at v1alpha1.RegistryLocation) bool {
	for _, own := range r.own {
		if own.SameRegistry(at) {
			return true
		}
	}
	return false
}

// Without returns the rules with one more image that is not mirrored: the image of nfo, which is needed to start the
// mirror (R6). If the reference is invalid, the rules are unchanged.
func (r Rules) Without(image string) Rules {
	if i, err := Parse(image); err == nil {
		r.never = append(r.never[:len(r.never):len(r.never)], i)
	}
	return r
}

// Mirrors reports whether an image is mirrored. Images of the registry that nfo ships never are.
func (r Rules) Mirrors(i Image) bool {
	if r.selector == nil {
		return false
	}
	at := v1alpha1.RegistryLocation{Host: i.Host, Prefix: i.Repository}
	if r.inOwn(at) {
		return false
	}
	for _, never := range r.never {
		if never.Host == i.Host && never.Repository == i.Repository {
			return false
		}
	}
	if r.all {
		return true
	}
	for _, store := range r.known {
		if store.Contains(at) {
			return true
		}
	}
	return false
}

// Namespace reports whether the workloads of a namespace with these labels are mirrored. Those of the mirror's
// namespace, which is the operator's, never are (R6).
func (r Rules) Namespace(name string, of map[string]string) bool {
	return r.selector != nil && name != r.namespace && r.selector.Matches(labels.Set(of))
}

// Labelled reports whether Namespace depends on the labels of a namespace.
func (r Rules) Labelled() bool { return r.selector != nil && !r.selector.Empty() }

// Address returns the prefix of an image reference in a pod that pulls from the mirror; "" while it is not known.
func (r Rules) Address() string { return r.address }

// Policy returns when pods are rewritten. Without a mirror, and without an address, it is Never.
func (r Rules) Policy() v1alpha1.RewritePolicy {
	switch {
	case r.selector == nil || r.address == "":
		return v1alpha1.RewriteNever
	case r.policy == "":
		return v1alpha1.RewritePresent
	}
	return r.policy
}

package rewrite

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

const agentAddress = "127.0.0.1:7439"

// mirrorStore returns the mirror's store, with the address of an agent.
func mirrorStore(images v1alpha1.MirrorImages) *v1alpha1.ArtifactStore {
	s := clusterStore(v1alpha1.MirrorName, v1alpha1.MirrorPrefix)
	s.Namespace = v1alpha1.ManagerNamespace
	s.Spec.Mirror = &v1alpha1.MirrorSpec{Images: images, PullAddress: agentAddress}
	return &s
}

func clusterStore(name, prefix string) v1alpha1.ArtifactStore {
	s := v1alpha1.ArtifactStore{ObjectMeta: metav1.ObjectMeta{Namespace: "publisher", Name: name}}
	s.Spec.Registry.ClusterRegistry = &v1alpha1.ClusterRegistrySpec{Prefix: prefix}
	s.Status.URL = "https://registry.site.example:5443/" + prefix
	return s
}

func urlStore(name, url string) v1alpha1.ArtifactStore {
	s := v1alpha1.ArtifactStore{ObjectMeta: metav1.ObjectMeta{Namespace: "publisher", Name: name}}
	s.Spec.Registry.URL = url
	return s
}

func TestWhichImagesAreMirrored(t *testing.T) {
	t.Parallel()
	refused := urlStore("refused", "https://quay.io")
	refused.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonPlaceRefused}}
	stores := []v1alpha1.ArtifactStore{
		refused, urlStore("acme", "https://registry.example.com:5000/acme"), urlStore("hub", "https://registry-1.docker.io/library"),
		urlStore("plain", "http://10.0.0.7"), urlStore("broken", "ftp://no.example"), clusterStore("own", "publisher"),
	}
	for _, tt := range []struct {
		reason, image string
		known, all    bool
	}{
		{"below a store's prefix", "registry.example.com:5000/acme/upf:1", true, true},
		{"the prefix itself", "registry.example.com:5000/acme:1", true, true},
		{"by digest", "registry.example.com:5000/acme/upf@" + someDigest, true, true},
		{"a segment that only begins like the prefix", "registry.example.com:5000/acme2/upf:1", false, true},
		{"another port", "registry.example.com/acme/upf:1", false, true},
		{"another registry", "ghcr.io/acme/upf:1", false, true},
		{"a store that may not be where it is", "quay.io/acme/upf:1", false, true},
		{"Docker Hub has more than one name", "nginx", true, true},
		{"Docker Hub, another user's", "acme/upf", false, true},
		{"a whole registry, plain HTTP", "10.0.0.7:80/a/b/c:1", true, true},
		{"the mirror itself, as pods name it", "127.0.0.1:7439/docker.io/library/nginx:1", false, false},
		{"the mirror itself, by another name of this machine", "localhost:7439/docker.io/library/nginx:1", false, false},
		{"the cluster's own registry, as clients name it", "registry.site.example:5443/publisher/upf:1", false, false},
		{"the cluster's own registry, as places name it", v1alpha1.ClusterRegistryHost + "/publisher/upf:1", false, false},
		{"nfo's image", "registry.example.com:5000/acme/nfo:2", false, false},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			t.Parallel()
			i, err := Parse(tt.image)
			if err != nil {
				t.Fatal(err)
			}
			for images, want := range map[v1alpha1.MirrorImages]bool{v1alpha1.MirrorKnownStores: tt.known, "": tt.known, v1alpha1.MirrorAll: tt.all} {
				r := NewRules(mirrorStore(images), stores).Without("registry.example.com:5000/acme/nfo:1").Without("NO IMAGE")
				if got := r.Mirrors(i); got != want {
					t.Errorf("images %q: %t, want %t", images, got, want)
				}
			}
			if NewRules(nil, stores).Mirrors(i) {
				t.Error("mirrored without a mirror")
			}
		})
	}
}

// If the address is that of the registry with a prefix, all images of its host count as the registry's own.
func TestTheHostOfTheAddressIsTheRegistrys(t *testing.T) {
	t.Parallel()
	m := mirrorStore(v1alpha1.MirrorAll)
	m.Spec.Mirror.PullAddress = "10.96.0.50/" + v1alpha1.MirrorPrefix
	r := NewRules(m, nil)
	if r.Mirrors(Image{Host: "10.96.0.50", Repository: "publisher/upf", Tag: "1"}) || !r.Mirrors(Image{Host: "10.96.0.51", Repository: "publisher/upf", Tag: "1"}) {
		t.Error("the registry that nfo ships is mirrored, or another one is not")
	}
}

func TestWhoseImagesAreMirrored(t *testing.T) {
	t.Parallel()
	selecting := func(s *metav1.LabelSelector) Rules {
		m := mirrorStore(v1alpha1.MirrorAll)
		m.Spec.Mirror.NamespaceSelector = s
		return NewRules(m, nil)
	}
	site := map[string]string{"site": "yes"}
	for _, tt := range []struct {
		reason, namespace string
		rules             Rules
		labels            map[string]string
		want              bool
	}{
		{"every namespace by default", "core", selecting(nil), nil, true},
		{"never the operator's own", v1alpha1.ManagerNamespace, selecting(nil), nil, false},
		{"never the operator's own, though selected", v1alpha1.ManagerNamespace, selecting(&metav1.LabelSelector{MatchLabels: site}), site, false},
		{"selected", "core", selecting(&metav1.LabelSelector{MatchLabels: site}), site, true},
		{"not selected", "core", selecting(&metav1.LabelSelector{MatchLabels: site}), nil, false},
		{"an empty selector selects all", "core", selecting(&metav1.LabelSelector{}), nil, true},
		{"a selector that cannot be read selects none", "core", selecting(&metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "site", Operator: "Near"}}}), site, false},
		{"no mirror", "core", Rules{}, site, false},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			t.Parallel()
			if got := tt.rules.Namespace(tt.namespace, tt.labels); got != tt.want {
				t.Errorf("%t", got)
			}
		})
	}
}

func TestThePolicy(t *testing.T) {
	t.Parallel()
	m := mirrorStore(v1alpha1.MirrorAll)
	if got := NewRules(m, nil).Policy(); got != v1alpha1.RewritePresent {
		t.Errorf("the default is %s", got)
	}
	m.Spec.Mirror.Rewrite = v1alpha1.RewriteAlways
	if got := NewRules(m, nil); got.Policy() != v1alpha1.RewriteAlways || got.Address() != agentAddress {
		t.Errorf("%s at %s", got.Policy(), got.Address())
	}
	m.Spec.Mirror.PullAddress = ""
	if got := NewRules(m, nil).Policy(); got != v1alpha1.RewriteNever {
		t.Errorf("without an address it is %s", got)
	}
	now := metav1.NewTime(time.Unix(1_700_000_000, 0))
	m = mirrorStore(v1alpha1.MirrorAll)
	m.DeletionTimestamp = &now
	if got := NewRules(m, nil); got.Policy() != v1alpha1.RewriteNever || got.Mirrors(Image{Host: "docker.io", Repository: "library/nginx", Tag: "1"}) {
		t.Error("a mirror that is being deleted still counts")
	}
}

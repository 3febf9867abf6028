package v1alpha1

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestStoreLocation(t *testing.T) {
	t.Parallel()
	cluster := func(prefix string) RegistrySpec {
		return RegistrySpec{ClusterRegistry: &ClusterRegistrySpec{Prefix: prefix}}
	}
	tests := map[string]struct {
		reason string
		in     RegistrySpec
		url    string
		want   RegistryLocation
		bad    bool
	}{
		"URL":       {"its URL says where it is", RegistrySpec{URL: "http://r.example.com:80/acme/"}, "http://r.example.com:80/acme/", RegistryLocation{PlainHTTP: true, Host: "r.example.com", Prefix: "acme"}, false},
		"Default":   {"the namespace is the prefix", cluster(""), "https://cluster-registry.nfo.dev/publisher", RegistryLocation{Host: ClusterRegistryHost, Prefix: "publisher"}, false},
		"Prefix":    {"unless another one is given", cluster("publisher/radio"), "https://cluster-registry.nfo.dev/publisher/radio", RegistryLocation{Host: ClusterRegistryHost, Prefix: "publisher/radio"}, false},
		"Pretended": {"nobody connects to the name that stands for the cluster's registry", RegistrySpec{URL: "http://CLUSTER-registry.nfo.dev.:80/acme"}, "http://CLUSTER-registry.nfo.dev.:80/acme", RegistryLocation{}, true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &ArtifactStore{Spec: ArtifactStoreSpec{Registry: tc.in}}
			s.Namespace = "publisher"
			got, err := s.Location()
			if tc.bad != errors.Is(err, ErrRegistryURL) || s.RegistryURL() != tc.url {
				t.Fatalf("%s: %q is read with %v", tc.reason, s.RegistryURL(), err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s: -want +got\n%s", tc.reason, diff)
			}
		})
	}
}

func TestStoreNames(t *testing.T) {
	t.Parallel()
	s := &ArtifactStore{Spec: ArtifactStoreSpec{Registry: RegistrySpec{ClusterRegistry: &ClusterRegistrySpec{}}}}
	s.Namespace = "acme"
	here := RegistryLocation{Host: ClusterRegistryHost, Prefix: "acme"}
	if got, err := s.Names(); err != nil || !cmp.Equal(got, []RegistryLocation{here}) {
		t.Errorf("before its address is known it is called %v, %v", got, err)
	}
	at, err := here.At("registry.nfo-system.svc:5000")
	if s.Status.URL = at.String(); err != nil || s.Status.URL != "https://registry.nfo-system.svc:5000/acme" {
		t.Fatalf("its URL is %q, %v", s.Status.URL, err)
	}
	if got, err := s.Names(); err != nil || !cmp.Equal(got, []RegistryLocation{here, at}) {
		t.Errorf("it is called %v, %v", got, err)
	}
	if _, err := here.At("https://registry.example.com/path"); !errors.Is(err, ErrRegistryURL) {
		t.Errorf("an address with a path is read with %v", err)
	}
	s.Spec.Registry = RegistrySpec{URL: "https://r.example.com/acme"}
	if got, err := s.Names(); err != nil || len(got) != 1 || got[0].String() != "https://r.example.com/acme" {
		t.Errorf("a store elsewhere is called %v, %v", got, err)
	}
}

// A store stays in its place when the registry's address changes, and conflicts are found without knowing it.
func TestClusterStoresConflict(t *testing.T) {
	t.Parallel()
	store := func(namespace, prefix string) ArtifactStore {
		s := ArtifactStore{Spec: ArtifactStoreSpec{Registry: RegistrySpec{ClusterRegistry: &ClusterRegistrySpec{Prefix: prefix}}}}
		s.Namespace, s.Name = namespace, "s"
		return s
	}
	for name, tc := range map[string]struct {
		reason   string
		a, b     ArtifactStore
		conflict bool
	}{
		"Same":      {"one prefix belongs to one store", store("a", ""), store("b", "a"), true},
		"Below":     {"also by whole segments", store("a", ""), store("b", "a/b"), true},
		"Apart":     {"namespaces have their own", store("a", ""), store("ab", ""), false},
		"Elsewhere": {"another registry is another place", store("a", ""), ArtifactStore{Spec: ArtifactStoreSpec{Registry: RegistrySpec{URL: "https://r.example.com/a"}}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.a.UID, tc.b.UID = "1", "2"
			if got := tc.b.Winner([]ArtifactStore{tc.a}) != nil; got != tc.conflict {
				t.Errorf("%s: a conflict: %t", tc.reason, got)
			}
		})
	}
}

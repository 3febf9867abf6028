package place

import (
	"slices"
	"testing"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

func answering(addresses ...string) func(*v1alpha1.ArtifactStore) {
	return func(s *v1alpha1.ArtifactStore) { s.Status.Addresses = addresses }
}

func TestOneRegistryUnderTwoNames(t *testing.T) {
	t.Parallel()
	here, both := answering("192.0.2.1:443"), answering("192.0.2.1:443", "192.0.2.2:443")
	for name, tc := range map[string]struct {
		reason string
		list   string
		a, b   v1alpha1.ArtifactStore
		want   []string // the stores that have a doubt
	}{
		"Doubt":     {"they may be one registry", "", aStore("a", "https://r.example/acme", here), aStore("b", "https://s.example/acme", both), []string{"a", "b"}},
		"Above":     {"one reaches into the other", "", aStore("a", "https://r.example", here), aStore("b", "https://s.example/acme", here), []string{"a", "b"}},
		"Paths":     {"whatever the registry, the places are two", "", aStore("a", "https://r.example/acme", here), aStore("b", "https://s.example/acme2", here), nil},
		"Addresses": {"nothing speaks for it", "", aStore("a", "https://r.example/acme", here), aStore("b", "https://s.example/acme", answering("192.0.2.3:443")), nil},
		"Port":      {"another port is another server", "", aStore("a", "https://r.example/acme", here), aStore("b", "https://s.example:5000/acme", answering("192.0.2.1:5000")), nil},
		"NeverSeen": {"a name that never led to a registry raises no doubt", "", aStore("a", "https://r.example/acme", here), aStore("b", "https://s.example/acme"), nil},
		"OneName":   {"which of them wins is known", "", aStore("a", "https://r.example/acme", here), aStore("b", "https://r.example/acme", here), nil},
		"Named": {
			"whose the place is has been said: a name that somebody makes for its address raises no doubt", "places: [{registry: r.example, namespaces: [a]}]",
			aStore("a", "https://r.example/acme", here), aStore("b", "https://s.example/acme", here), []string{"b"},
		},
		"BothNamed": {
			"they are two, an administrator says", "places: [{registry: r.example, namespaces: [a]}, {registry: s.example/acme, namespaces: [b]}]",
			aStore("a", "https://r.example/acme", here), aStore("b", "https://s.example/acme", here), nil,
		},
		"NamedAway": {
			"the other may not be there at all", "places: [{registry: s.example}]",
			aStore("a", "https://r.example/acme", here), aStore("b", "https://s.example/acme", here), nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := Rules{}
			if tc.list != "" {
				r = parsed(t, tc.list)
			}
			all := []v1alpha1.ArtifactStore{tc.a, tc.b}
			var got []string
			for i := range all {
				found := r.Doubts(&all[i], all)
				if len(found) > 1 || len(found) == 1 && found[0].Namespace == all[i].Namespace {
					t.Errorf("%s: %s doubts %v", tc.reason, all[i].Namespace, found)
				}
				if len(found) == 1 && r.Admits(&all[i]) {
					got = append(got, all[i].Namespace)
					if !slices.Contains(r.Beside(&all[i], all), found[0]) {
						t.Errorf("%s: what %s lists does not count for %s", tc.reason, found[0].Namespace, all[i].Namespace)
					}
				}
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("%s: in doubt are %v, want %v", tc.reason, got, tc.want)
			}
		})
	}
}

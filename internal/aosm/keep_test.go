package aosm

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// TestFuller checks that the id with more of its scope is kept, in either order.
func TestFuller(t *testing.T) {
	t.Parallel()
	const rest = hybrid + "p/artifactStores/s"
	const whole, subscription, group = "/subscriptions/1/resourceGroups/g" + rest, "/subscriptions/1" + rest, "/resourceGroups/g" + rest
	for name, tc := range map[string]struct{ a, b, want string }{
		"Whole": {whole, rest, whole}, "Subscription": {subscription, rest, subscription}, "Group": {group, rest, group}, "More": {whole, subscription, whole}, "MoreGroup": {whole, group, whole},
		"Both": {subscription, group, whole}, "Same": {whole, whole, whole}, "Case": {whole, "/SUBSCRIPTIONS/1/resourceGroups/g" + rest, "/SUBSCRIPTIONS/1/resourceGroups/g" + rest},
		"None": {whole, "", whole}, "Broken": {"x", whole, whole},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, got := range []string{fuller(tc.a, tc.b), fuller(tc.b, tc.a)} {
				if got != tc.want {
					t.Errorf("of %q and %q stays %q, want %q", tc.a, tc.b, got, tc.want)
				}
			}
		})
	}
}

// An import knows no cluster registry: if it only assumes a URL, an existing store keeps its registry.
func TestAStoreInTheClustersRegistryStays(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason  string
		assumed bool
		want    v1alpha1.RegistrySpec
	}{
		"Assumed": {"what is there is known better", true, v1alpha1.RegistrySpec{ClusterRegistry: &v1alpha1.ClusterRegistrySpec{Prefix: "p"}}},
		"Given":   {"what a person says is compared, and refused", false, v1alpha1.RegistrySpec{URL: "https://r.azurecr.io"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			there, wanted := &v1alpha1.ArtifactStore{}, &v1alpha1.ArtifactStore{}
			there.Spec.Registry.ClusterRegistry, wanted.Spec.Registry.URL = &v1alpha1.ClusterRegistrySpec{Prefix: "p"}, "https://r.azurecr.io"
			Keep(there, wanted, tc.assumed)
			if diff := cmp.Diff(tc.want, wanted.Spec.Registry); diff != "" {
				t.Errorf("%s: -want +got\n%s", tc.reason, diff)
			}
		})
	}
}

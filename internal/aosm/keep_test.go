package aosm

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

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

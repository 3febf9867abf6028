package admission

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

func TestOneStoreMayBeTheMirror(t *testing.T) {
	t.Parallel()
	only := client.ObjectKey{Namespace: "operators", Name: v1alpha1.MirrorName}
	mirror := func(namespace, name, prefix string, selector *metav1.LabelSelector) *v1alpha1.ArtifactStore {
		return store(func(s *v1alpha1.ArtifactStore) {
			s.Namespace, s.Name, s.Spec.Registry.URL = namespace, name, ""
			s.Spec.Registry.ClusterRegistry = &v1alpha1.ClusterRegistrySpec{Prefix: prefix}
			s.Spec.Mirror = &v1alpha1.MirrorSpec{NamespaceSelector: selector, ImagePullSecrets: []v1alpha1.LocalReference{{Name: "old"}, {Name: "new"}}}
		})
	}
	for _, tt := range []struct {
		reason string
		store  *v1alpha1.ArtifactStore
		want   []string
	}{
		{"a store that is not a mirror", store(), nil},
		{"the one", mirror("operators", "mirror", v1alpha1.MirrorPrefix, nil), nil},
		{"another name", mirror("operators", "other", v1alpha1.MirrorPrefix, nil), []string{"spec.mirror: a cluster has one mirror, the store mirror in the operator's namespace operators"}},
		{"another namespace", mirror("publisher", "mirror", v1alpha1.MirrorPrefix, nil), []string{"spec.mirror: a cluster has one mirror"}},
		{"another place", mirror("operators", "mirror", "operators", nil), []string{"spec.registry.clusterRegistry.prefix: the prefix of the mirror is mirror.nfo.dev"}},
		{"a selection that nobody can read", mirror("operators", "mirror", v1alpha1.MirrorPrefix, &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Near"}}}), []string{"spec.mirror.namespaceSelector: "}},
	} {
		matches(t, tt.reason, tt.want, outline(mirrorErrors(only, tt.store)))
	}
	was := mirror("operators", "mirror", v1alpha1.MirrorPrefix, nil)
	was.Spec.Mirror.ImagePullSecrets = was.Spec.Mirror.ImagePullSecrets[:1]
	if got := newMirrorSecrets(was, mirror("operators", "mirror", v1alpha1.MirrorPrefix, nil)); len(got) != 1 || got[0] != "new" {
		t.Errorf("the rights to %v are asked for", got)
	}
}

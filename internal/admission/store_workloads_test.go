package admission

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/place"
)

func TestWorkloadErrors(t *testing.T) {
	t.Parallel()
	rules, err := place.Parse([]byte("places:\n- {registry: theirs.example, namespaces: [others]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	other := v1alpha1.ArtifactStore{ObjectMeta: metav1.ObjectMeta{Namespace: "others", Name: "edge"}}
	other.Spec.Registry.URL = "https://shared.example/edge"
	inCluster := v1alpha1.ArtifactStore{ObjectMeta: metav1.ObjectMeta{Namespace: "others", Name: "core"}}
	inCluster.Spec.Registry.ClusterRegistry, inCluster.Status.URL = &v1alpha1.ClusterRegistrySpec{}, "https://registry.nfo-system.svc:5000/others"
	like := metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Like"}}}
	tests := map[string]struct {
		reason string
		spec   *v1alpha1.WorkloadsSpec
		want   string
	}{
		"none":                  {reason: "nothing is selected"},
		"all":                   {reason: "the default", spec: &v1alpha1.WorkloadsSpec{}},
		"selector":              {reason: "an operator that does not exist", spec: &v1alpha1.WorkloadsSpec{NamespaceSelector: like}, want: "spec.workloads.namespaceSelector"},
		"alias":                 {reason: "a mirror", spec: &v1alpha1.WorkloadsSpec{RegistryAliases: []string{"mirror.example:5000/acme"}}},
		"scheme":                {reason: "images have none", spec: &v1alpha1.WorkloadsSpec{RegistryAliases: []string{"mirror.example", "https://mirror.example"}}, want: "spec.workloads.registryAliases[1]"},
		"not a host":            {reason: "it names nothing", spec: &v1alpha1.WorkloadsSpec{RegistryAliases: []string{"a b"}}, want: "without a scheme"},
		"tag":                   {reason: "it is not an image", spec: &v1alpha1.WorkloadsSpec{RegistryAliases: []string{"mirror.example/acme:1"}}, want: "without a scheme"},
		"wildcard":              {reason: "it would match nothing", spec: &v1alpha1.WorkloadsSpec{RegistryAliases: []string{"*.example/acme"}}, want: "without a scheme"},
		"upper case path":       {reason: "no repository has it", spec: &v1alpha1.WorkloadsSpec{RegistryAliases: []string{"mirror.example/Acme"}}, want: "without a scheme"},
		"address":               {reason: "a mirror can have none but an address", spec: &v1alpha1.WorkloadsSpec{RegistryAliases: []string{"[fd00::1]:5000/acme", "10.0.0.1:5000"}}},
		"reserved":              {reason: "the administrator's list", spec: &v1alpha1.WorkloadsSpec{RegistryAliases: []string{"theirs.example/acme"}}, want: "reserved for"},
		"of another namespace":  {reason: "who uses what is theirs", spec: &v1alpha1.WorkloadsSpec{RegistryAliases: []string{"shared.example"}}, want: "others/edge"},
		"in the cluster's own":  {reason: "its address is a name of it", spec: &v1alpha1.WorkloadsSpec{RegistryAliases: []string{"registry.nfo-system.svc:5000/others/cnf"}}, want: "others/core"},
		"beside another's path": {reason: "another path is another place", spec: &v1alpha1.WorkloadsSpec{RegistryAliases: []string{"shared.example/acme"}}},
	}
	for title, test := range tests {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			s := &v1alpha1.ArtifactStore{ObjectMeta: metav1.ObjectMeta{Namespace: "publisher", Name: "acme"}}
			s.Spec.Registry.URL, s.Spec.Workloads = "https://registry.example.com/acme", test.spec
			errs := workloadErrors(rules, s, []v1alpha1.ArtifactStore{other, inCluster})
			got := ""
			if len(errs) > 0 {
				got = errs.ToAggregate().Error()
			}
			if (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
				t.Errorf("%s: %s", test.reason, got)
			}
		})
	}
}

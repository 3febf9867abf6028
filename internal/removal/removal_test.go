package removal

import (
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// installed reads an object from config.
func installed(t *testing.T, file, kind string) *unstructured.Unstructured {
	t.Helper()
	f, err := os.Open("../../config/" + file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }() // only read
	for d := yaml.NewYAMLOrJSONDecoder(f, 4096); ; {
		u := &unstructured.Unstructured{}
		if err := d.Decode(&u.Object); errors.Is(err, io.EOF) {
			t.Fatalf("%s has no %s", file, kind)
		} else if err != nil {
			t.Fatal(err)
		}
		if u.GetKind() == kind {
			return u
		}
	}
}

func TestWhatIsRemovedIsWhatIsInstalled(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		reason, file, kind, namespace, name string
	}{
		"Webhooks":   {"the way in that must go first", "webhook/webhook.yaml", "ValidatingWebhookConfiguration", "", v1alpha1.WebhookConfigurationName},
		"Service":    {"by whose namespace the manager's is known", "webhook/webhook.yaml", "Service", v1alpha1.ManagerNamespace, v1alpha1.WebhookServiceName},
		"Deployment": {"the manager", "manager/deployment.yaml", "Deployment", v1alpha1.ManagerNamespace, v1alpha1.ManagerName},
		"Account":    {"the manager's", "rbac/identity.yaml", "ServiceAccount", v1alpha1.ManagerNamespace, v1alpha1.ManagerName},
		"Role":       {"the remover's, beside the manager", "rbac/remover.yaml", "Role", v1alpha1.ManagerNamespace, "nfo-remover"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if o := installed(t, tc.file, tc.kind); o.GetNamespace() != tc.namespace || o.GetName() != tc.name {
				t.Errorf("%s: it is %s/%s, want %s/%s", tc.reason, o.GetNamespace(), o.GetName(), tc.namespace, tc.name)
			}
		})
	}
}

func TestManagerIsKnownByItsLabels(t *testing.T) {
	t.Parallel()
	d := installed(t, "manager/deployment.yaml", "Deployment")
	on, _, err := unstructured.NestedStringMap(d.Object, "spec", "selector", "matchLabels")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(managerLabels, labels.Set(on)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// The remover is not part of the installation: it gets its rights only from a job that runs it.
func TestRemoverIsNotInstalled(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../config/rbac/kustomization.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "remover") {
		t.Errorf("it is:\n%s", text)
	}
}

func TestEveryKindThatIsHeldIsLetGo(t *testing.T) {
	t.Parallel()
	s := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(s); err != nil {
		t.Fatal(err)
	}
	var want []string
	for kind, is := range s.KnownTypes(v1alpha1.GroupVersion) {
		ours := strings.HasSuffix(is.PkgPath(), "/api/v1alpha1")
		if ours && !strings.HasSuffix(kind, "List") && kind != v1alpha1.KindTombstone && kind != v1alpha1.KindArtifact {
			want = append(want, kind)
		}
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, slices.Sorted(slices.Values(protected))); diff != "" {
		t.Errorf("-in the API +released\n%s", diff)
	}
}

func TestManyAreNamedInShort(t *testing.T) {
	t.Parallel()
	eleven := strings.Split(strings.Repeat("x", 11), "")
	tests := map[string]struct {
		reason string
		names  []string
		want   string
	}{
		"None": {"nothing is waited for", nil, ""},
		"Two":  {"all are named", []string{"a", "b"}, "a, b"},
		"Ten":  {"the most that are named", eleven[:10], "x, x, x, x, x, x, x, x, x, x"},
		"More": {"the rest is counted", eleven, "x, x, x, x, x, x, x, x, x, x, and 1 more"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tc.want, enumerate(tc.names)); diff != "" {
				t.Errorf("%s: -want +got\n%s", tc.reason, diff)
			}
		})
	}
}

func TestFailuresAreToldInShort(t *testing.T) {
	t.Parallel()
	var f failures
	if err := f.err(); err != nil {
		t.Errorf("none has failed: %v", err)
	}
	for _, name := range strings.Split("a b c d e f g h i j k l", " ") {
		f.note("ns/"+name, errors.New("denied"))
	}
	f.note("ns/a", nil) // it was unprotected at the second attempt
	lines := strings.Split(f.err().Error(), "\n")
	if len(lines) != 11 || lines[0] != "finalizers of ns/b: denied" || lines[10] != "and of 1 more" {
		t.Errorf("it says %q", lines)
	}
}

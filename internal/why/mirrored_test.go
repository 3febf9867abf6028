package why

import (
	"bytes"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/plugin/plugintest"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/rewrite"
)

// mirrorStore is the store of a mirror with the given pull address.
func mirrorStore(pullAddress string) v1alpha1.ArtifactStore {
	s := v1alpha1.ArtifactStore{ObjectMeta: metav1.ObjectMeta{Namespace: v1alpha1.ManagerNamespace, Name: v1alpha1.MirrorName}}
	s.Spec.Registry.ClusterRegistry = &v1alpha1.ClusterRegistrySpec{Prefix: v1alpha1.MirrorPrefix}
	s.Spec.Mirror = &v1alpha1.MirrorSpec{PullAddress: pullAddress}
	s.Status.URL = "https://10.96.0.50:5000/" + v1alpha1.MirrorPrefix
	return s
}

// artifact returns the Artifact of an image in a namespace, copied at a digest and used by a Deployment.
func artifact(t *testing.T, namespace, source string, edit ...func(*v1alpha1.Artifact)) *v1alpha1.Artifact {
	t.Helper()
	i, err := rewrite.Parse(source)
	if err != nil {
		t.Fatal(err)
	}
	a := i.Artifact(namespace)
	a.Status = v1alpha1.MirrorStatus{State: v1alpha1.MirrorPresent, Digest: plugintest.One, Users: []v1alpha1.ArtifactUser{{Kind: "Deployment", Name: "upf", Detail: "container upf"}}, UserCount: 1, UsersReadAt: &metav1.Time{Time: now}}
	for _, f := range edit {
		f(a)
	}
	return a
}

func TestWhyAMirroredImage(t *testing.T) {
	t.Parallel()
	const source = "r.example.com/acme/m/upf:1"
	unused := func(a *v1alpha1.Artifact) {
		a.Status.Users, a.Status.UserCount, a.Status.UnusedSince = nil, 0, &metav1.Time{Time: now}
	}
	used := []client.Object{artifact(t, "ran", source), artifact(t, "core", source, unused), artifact(t, "ran", "r.example.com/acme/m/upf:2"), artifact(t, "ran", "other.example/acme/m/upf:1")}
	name := v1alpha1.ArtifactName(source)
	answered := []string{
		"artifacts/ran/" + name, "(Present " + plugintest.One + ")", "deployments/ran/upf (container upf)", "mirror's copy of r.example.com/acme/m/upf", "artifacts/core/" + name + ": Nothing has used it since", "artifacts/ran/" + name + ": It is used by 1 workload", "'kubectl nfo why r.example.com/acme/m/upf",
	}
	agent := []v1alpha1.ArtifactStore{store(), mirrorStore("127.0.0.1:7439")}
	for title, tc := range map[string]struct {
		reason  string
		stores  []v1alpha1.ArtifactStore
		objects []client.Object
		image   string
		says    []string // nil: the name is not in the mirror
		not     string
	}{
		"Agent":       {"the name that a pod shows", agent, used, "127.0.0.1:7439/" + source, answered, "upf:2"},
		"AnotherName": {"the same address", agent, used, "localhost:7439/" + source, answered, "upf:2"},
		"Address":     {"an address with the mirror's prefix", []v1alpha1.ArtifactStore{mirrorStore("pull.example/mirror.nfo.dev")}, used, "pull.example/mirror.nfo.dev/" + source, answered, "upf:2"},
		"Registry":    {"the mirror's own name", agent, used, "10.96.0.50:5000/mirror.nfo.dev/" + source, answered, "nothing here deletes it"},
		"Place":       {"the name that stands for the registry", agent, used, "cluster-registry.nfo.dev/mirror.nfo.dev/" + source, answered, "nothing here deletes it"},
		"Digest":      {"by the digest that was copied", agent, used, "127.0.0.1:7439/r.example.com/acme/m/upf@" + plugintest.One, answered, "other.example"},
		"Satellite":   {"a signature stays with what it signs", agent, used, "127.0.0.1:7439/r.example.com/acme/m/upf:sha256-" + strings.TrimPrefix(plugintest.One, "sha256:") + ".sig", answered, ".sig'"},
		"Port":        {"the port of the source", agent, []client.Object{artifact(t, "ran", "r:5000/acme/upf:1")}, "127.0.0.1:7439/r_5000/acme/upf:1", []string{"copy of r:5000/acme/upf:1", "artifacts/ran/"}, "No Artifact"},
		"Unused":      {"nothing keeps it", agent, []client.Object{artifact(t, "core", source, unused)}, "127.0.0.1:7439/" + source, []string{"artifacts/core/" + name + ": Nothing has used it since"}, "└──"},
		"NoArtifact":  {"a purge deletes it", agent, nil, "127.0.0.1:7439/" + source, []string{"No Artifact of it was found. A purge of the mirror deletes", "nfo purge -n nfo-system --store mirror --dry-run"}, "nothing here deletes it"},
		"NoStore":     {"the mirror's store may not be read", nil, used, "10.96.0.50:5000/mirror.nfo.dev/" + source, append(answered, "grace period is not known"), "nothing here deletes it"},
		"Elsewhere":   {"another port", agent, used, "127.0.0.1:7440/" + source, nil, ""},
		"Original":    {"the image itself", agent, used, source, nil, ""},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			scheme, err := reference.NewScheme()
			if err != nil {
				t.Fatal(err)
			}
			i, err := parseImage(tc.image)
			if err != nil {
				t.Fatal(err)
			}
			got, err := i.mirrored(t.Context(), fake.NewClientBuilder().WithScheme(scheme).WithObjects(tc.objects...).Build(), "ran", tc.stores)
			if err != nil || (got == nil) != (tc.says == nil) {
				t.Fatalf("%s: %+v, error %v", tc.reason, got, err)
			}
			if got == nil {
				return
			}
			var b bytes.Buffer
			if err := got.write(&b); err != nil {
				t.Fatal(err)
			}
			for _, text := range append([]string{tc.image + "\n"}, tc.says...) {
				if !strings.Contains(b.String(), text) {
					t.Errorf("%s: %q is not in\n%s", tc.reason, text, b.String())
				}
			}
			if tc.not != "" && strings.Contains(b.String(), tc.not) {
				t.Errorf("%s: %q is in\n%s", tc.reason, tc.not, b.String())
			}
			if got.Kept != (len(got.KeptBy) > 0) {
				t.Errorf("%s: kept is %t, by %d", tc.reason, got.Kept, len(got.KeptBy))
			}
		})
	}
}

package version

import (
	"strings"
	"testing"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/controller/pass/passtest"
	"github.com/nfo-operator/nfo/internal/reference"
)

// lists returns a manifest that lists artifacts, each present at the digest sha256:<version>.
func lists(name string, artifacts ...string) *v1alpha1.ArtifactManifest {
	m := &v1alpha1.ArtifactManifest{}
	m.Namespace, m.Name = "ns", name
	for _, a := range artifacts {
		n, v, _ := strings.Cut(a, ":")
		m.Spec.Artifacts = append(m.Spec.Artifacts, v1alpha1.ManifestArtifact{ArtifactName: n, ArtifactVersion: v})
		m.Status.Artifacts = append(m.Status.Artifacts, v1alpha1.ArtifactStatus{
			ArtifactName: n, ArtifactVersion: v, Repository: "acme/" + name + "/" + n, Digest: "sha256:" + v, State: v1alpha1.ArtifactPresent,
		})
	}
	return m
}

func TestVersionMigrated(t *testing.T) {
	t.Parallel()
	store := reference.Reference{To: reference.Object{Kind: v1alpha1.KindArtifactStore, Namespace: "ns", Name: "acme"}, Artifact: "nginx", Application: "app"}
	manifest := reference.Reference{To: reference.Object{Kind: v1alpha1.KindArtifactManifest, Namespace: "ns", Name: "m"}, Artifact: "nginx", Application: "app"}
	tests := map[string]struct {
		reason string
		kind   string
		seen   versionSeen
		want   string
		says   []string
	}{
		"New":         {"names a manifest of the new form", v1alpha1.KindDefinition, versionSeen{named: []reference.Reference{manifest}}, "True/Migrated", nil},
		"Store":       {"names a store", v1alpha1.KindDesign, versionSeen{named: []reference.Reference{store}, alternatives: map[reference.Reference][]*v1alpha1.ArtifactManifest{store: {lists("m1"), lists("m2")}}}, "False/StoreReference", []string{"artifact nginx of app", "listed by m1, m2"}},
		"Nowhere":     {"names a store where no manifest lists it", v1alpha1.KindDefinition, versionSeen{named: []reference.Reference{store}}, "False/StoreReference", []string{"make one"}},
		"StoreScoped": {"names a manifest of the old form", v1alpha1.KindDefinition, versionSeen{named: []reference.Reference{manifest}, targets: map[reference.Object]target{manifest.To: {found: true, storeScoped: true}}}, "False/StoreScoped", []string{"artifactmanifests/ns/m to ManifestScoped"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.seen.self.Kind = tc.kind
			passtest.Migrated(t, tc.reason, decideVersion(tc.seen).conditions, tc.want, tc.says...)
		})
	}
}

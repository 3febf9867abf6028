package controller

import (
	"strings"
	"testing"


	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
)

func TestManifestMigrated(t *testing.T) {
	t.Parallel()
	uploaded := tagSeen{there: true, digest: "sha256:a"}
	upgrading := func(change func(*manifestSeen)) manifestSeen {
		return observed(func(s *manifestSeen) {
			s.manifest.Status.UpgradingFrom = v1alpha1.StoreScoped
			change(s)
		})
	}
	tests := map[string]struct {
		reason string
		seen   manifestSeen
		want   string
		from   v1alpha1.UploadPath
		says   []string
	}{
		"New": {"never was in the old form, and nothing is uploaded yet", observed(func(s *manifestSeen) { s.tags[listed] = tagSeen{} }), "True/Migrated", "", nil},
		"StoreScoped": {
			"each step, in AOSM's order", observed(func(s *manifestSeen) { s.manifest.Spec.UploadPath, s.byStore = v1alpha1.StoreScoped, holders }), "False/StoreScoped", v1alpha1.StoreScoped,
			[]string{"change artifactStoreRef to artifactManifestRef (naming manifest m) in networkfunctiondefinitionversions/ns/nfdv", "set spec.uploadPath to ManifestScoped", "below acme/m/"},
		},
		"Reference": {"named by its store", observed(func(s *manifestSeen) { s.byStore, s.tags[listed] = holders, uploaded }), "False/StoreReference", "", []string{"networkfunctiondefinitionversions/ns/nfdv"}},
		"Missing":   {"upgraded, not uploaded again", upgrading(func(s *manifestSeen) { s.tags[listed] = tagSeen{} }), "False/Missing", v1alpha1.StoreScoped, []string{"acme/m/nginx:1.0.0", "never touched"}},
		"Moved": {
			"what was pushed over at the new path is there",
			upgrading(func(s *manifestSeen) {
				s.manifest.Spec.ArtifactManifestState = v1alpha1.ManifestUploaded
				s.manifest.Status.Artifacts = []v1alpha1.ArtifactStatus{present(sealedAt)}
				s.tags[listed] = tagSeen{there: true, digest: intruder}
			}),
			"True/Migrated", "", nil,
		},
		"I2NotAsked": {
			"upgraded, and the registry has not been asked since",
			upgrading(func(s *manifestSeen) {
				s.polled, s.manifest.Status.Artifacts = false, []v1alpha1.ArtifactStatus{present("sha256:a")}
			}),
			"False/Missing", v1alpha1.StoreScoped, []string{"wait"},
		},
		"Done": {"all is at the new path", upgrading(func(s *manifestSeen) { s.tags[listed] = uploaded }), "True/Migrated", "", nil},
		"Inert": {
			"the store cannot be worked with: what is left is said all the same",
			upgrading(func(s *manifestSeen) { s.store, s.polled = nil, false }), "False/Missing", v1alpha1.StoreScoped, nil,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := decideManifest(tc.seen)
			Migrated(t, tc.reason, v.conditions, tc.want, tc.says...)
			if v.upgradingFrom != tc.from {
				t.Errorf("%s: upgradingFrom is %q, want %q", tc.reason, v.upgradingFrom, tc.from)
			}
		})
	}
}

// lists is a manifest that lists artifacts, each present at the digest sha256:<version>.
func lists(name string, artifacts ...string) *v1alpha1.ArtifactManifest {
	m := &v1alpha1.ArtifactManifest{}
	m.Namespace, m.Name = "ns", name
	for _, a := range artifacts {
		n, v, _ := strings.Cut(a, ":")
		m.Spec.Artifacts = append(m.Spec.Artifacts, v1alpha1.Artifact{ArtifactName: n, ArtifactVersion: v})
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
			Migrated(t, tc.reason, decideVersion(tc.seen).conditions, tc.want, tc.says...)
		})
	}
}

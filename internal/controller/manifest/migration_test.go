package manifest

import (
	"testing"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/controller/pass/passtest"
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
		"Missing":   {"upgraded, not uploaded again", upgrading(func(s *manifestSeen) { s.tags[listed] = tagSeen{} }), "False/Missing", v1alpha1.StoreScoped, []string{"acme/m/nginx:1.0.0", "never changes"}},
		"Moved": {
			"what was overwritten at the new path is there",
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
			passtest.Migrated(t, tc.reason, v.conditions, tc.want, tc.says...)
			if v.upgradingFrom != tc.from {
				t.Errorf("%s: upgradingFrom is %q, want %q", tc.reason, v.upgradingFrom, tc.from)
			}
		})
	}
}

package main

import (
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/plugin/plugintest"
)

func TestNewForm(t *testing.T) {
	t.Parallel()
	scoped := func(path v1alpha1.UploadPath) client.Object {
		return plugintest.Manifest("m", func(m *v1alpha1.ArtifactManifest) { m.Spec.UploadPath = path })
	}
	byStore := plugintest.Design("n2", "d2", "m")
	byStore.Spec.ResourceElementTemplates[0].Configuration.ArtifactProfile.ArtifactSource = v1alpha1.ArtifactSource{ArtifactStoreRef: &v1alpha1.LocalReference{Name: "acme"}}
	renamed := plugintest.Definition("d", "acme")
	renamed.Spec.NetworkFunctionTemplate.NetworkFunctionApplications[0].Name = "on-m"
	for name, tc := range map[string]struct {
		reason        string
		there, wanted client.Object
		want          bool
	}{
		"Manifest":     {"it was migrated", scoped(v1alpha1.ManifestScoped), scoped(v1alpha1.StoreScoped), true},
		"Migrating":    {"the file migrates it", scoped(v1alpha1.StoreScoped), scoped(v1alpha1.ManifestScoped), false},
		"SameForm":     {"nothing was migrated", scoped(v1alpha1.StoreScoped), scoped(v1alpha1.StoreScoped), false},
		"Definition":   {"an application was migrated", plugintest.Definition("d", "m"), renamed, true},
		"Back":         {"the file migrates one", renamed, plugintest.Definition("d", "m"), false},
		"Other":        {"another application of it was", plugintest.Definition("d", "m2"), renamed, false},
		"Design":       {"a template was migrated", plugintest.Design("n2", "d2", "m"), byStore, true},
		"NoProfile":    {"a template without an artifact has no form", plugintest.Design("n2", "d2", ""), byStore, false},
		"Site":         {"a site has no form", plugintest.Site("p", "s", "n2"), plugintest.Site("p", "s", "n2"), false},
		"DefinitionUp": {"the same form", plugintest.Definition("d", "m"), plugintest.Definition("d", "m"), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := newForm(tc.there, tc.wanted); got != tc.want {
				t.Errorf("%s: %t, want %t", tc.reason, got, tc.want)
			}
		})
	}
}

// An object in the new form is left as it is, without a failure unless the file has entries that it lacks.
func TestLeave(t *testing.T) {
	t.Parallel()
	two := plugintest.Design("n", "d", "")
	two.Spec.ResourceElementTemplates = append(two.Spec.ResourceElementTemplates, plugintest.Design("n", "d2", "").Spec.ResourceElementTemplates...)
	two.Spec.ResourceElementTemplates[1].Name = "second"
	manifest := func(names ...string) client.Object {
		return plugintest.Manifest("m", func(m *v1alpha1.ArtifactManifest) {
			m.Spec.Artifacts = nil
			for _, n := range names {
				m.Spec.Artifacts = append(m.Spec.Artifacts, v1alpha1.ManifestArtifact{ArtifactName: n, ArtifactVersion: "1"})
			}
		})
	}
	for name, tc := range map[string]struct {
		reason        string
		there, wanted client.Object
		says          string
	}{
		"Same":     {"all of it is there", plugintest.Definition("d", "m"), plugintest.Definition("d", "m"), "it is left as it is"},
		"Fewer":    {"more is there", plugintest.Definition("d", "m", "m2"), plugintest.Definition("d", "m"), "it is left as it is"},
		"More":     {"the file has another application", plugintest.Definition("d", "m"), plugintest.Definition("d", "m", "m3", "m2"), "and lacks on-m2, on-m3 of it; add to its spec"},
		"Template": {"or another template, that names a definition", plugintest.Design("n", "d", "m"), two, "and lacks second of it; add to its spec"},
		"Manifest": {"or another artifact", manifest("a"), manifest("a", "b"), "does not list b:1 of it"},
	} {
		if err := leave(tc.there, tc.wanted); !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %s: %v, want %q", name, tc.reason, err, tc.says)
		}
	}
}

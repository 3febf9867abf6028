package reference

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/place"
)

// However many stores a user creates in a place of others, the manifests are read once for each namespace.
func TestI1WhatIsListedBesideIsReadOnceForEachNamespace(t *testing.T) {
	t.Parallel()
	store := func(namespace, name, url string) v1alpha1.ArtifactStore {
		s := v1alpha1.ArtifactStore{}
		s.Namespace, s.Name, s.Spec.Registry.URL = namespace, name, url
		return s
	}
	own := store("old", "acme", "https://registry.example.com/acme")
	all := []v1alpha1.ArtifactStore{own, store("elsewhere", "acme", "https://registry.example.com/other"), store("new", "last", own.Spec.Registry.URL)}
	for i := range 100 {
		all = append(all, store("many", fmt.Sprint("s", i), own.Spec.Registry.URL))
	}
	asked := map[string]int{}
	tags := Listed{}
	err := tags.AddBeside(place.Rules{}.Beside(&own, all), func(namespace string) ([]v1alpha1.ArtifactManifest, error) {
		asked[namespace]++
		m := v1alpha1.ArtifactManifest{}
		m.Namespace, m.Name, m.Spec.ArtifactStoreRef.Name = namespace, "m", "last"
		m.Spec.Artifacts = []v1alpha1.ManifestArtifact{{ArtifactName: "a", ArtifactVersion: "1"}}
		return []v1alpha1.ArtifactManifest{m}, nil
	})
	if diff := cmp.Diff(map[string]int{"many": 1, "new": 1}, asked); diff != "" || err != nil {
		t.Errorf("asked (-want +got), %v:\n%s", err, diff)
	}
	want := Listed{"acme/m/a:1": {Kind: v1alpha1.KindArtifactManifest, Namespace: "new", Name: "m"}}
	if diff := cmp.Diff(want, tags); diff != "" {
		t.Errorf("listed (-want +got):\n%s", diff)
	}
	down := errors.New("down")
	if err := tags.AddBeside(place.Rules{}.Beside(&own, all), func(string) ([]v1alpha1.ArtifactManifest, error) { return nil, down }); !errors.Is(err, down) {
		t.Errorf("a list that fails is an error, not %v", err)
	}
}

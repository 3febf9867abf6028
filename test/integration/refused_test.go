package integration

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
)

func TestCreationIsRefused(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	url := func(u string) func(*scene) client.Object {
		return func(s *scene) client.Object {
			return s.store("s", func(o *v1alpha1.ArtifactStore) { o.Spec.Registry.URL = u })
		}
	}
	manifest := func(artifacts ...string) func(*scene) client.Object {
		return func(s *scene) client.Object { return s.manifest("m", artifacts...) }
	}
	source := func(change func(*v1alpha1.ArtifactSource)) func(*scene) client.Object {
		return func(s *scene) client.Object {
			o := s.definition("nfdv", "m", "a")
			change(&o.Spec.NetworkFunctionTemplate.NetworkFunctionApplications[0].ArtifactProfile.ArtifactSource)
			return o
		}
	}
	badURL := "should match '^https?://"
	for name, c := range map[string]struct {
		reason string
		object func(*scene) client.Object
		want   string
	}{
		"StoreNameTooLong": {
			reason: "a CronJob has room for 52 characters",
			object: func(s *scene) client.Object { return s.store(strings.Repeat("s", 47)) },
			want:   "the name of an ArtifactStore has at most 46 characters, because its CronJob is called <name>-purge",
		},
		"URLWithUser":     {reason: "a URL is shown to everybody", object: url("https://me:secret@registry.example.com"), want: badURL},
		"URLWithQuery":    {reason: "a place has no query", object: url("https://registry.example.com/acme?a=b"), want: badURL},
		"URLWithFragment": {reason: "a place has no fragment", object: url("https://registry.example.com/acme#a"), want: badURL},
		"URLOfNoScheme":   {reason: "nothing is guessed", object: url("registry.example.com/acme"), want: badURL},
		"URLOfUpperCase":  {reason: "repository names are lower case", object: url("https://registry.example.com/Acme"), want: badURL},
		"URLWithDots":     {reason: "no way out of the prefix", object: url("https://registry.example.com/acme/../other"), want: badURL},
		"TwoPlaces": {
			reason: "a store is in one place",
			object: func(s *scene) client.Object {
				return s.store("s", func(o *v1alpha1.ArtifactStore) {
					o.Spec.Registry.ClusterRegistry = &v1alpha1.ClusterRegistrySpec{}
				})
			},
			want: "give exactly one of url and clusterRegistry",
		},
		"NoPlace": {
			reason: "a store is somewhere",
			object: func(s *scene) client.Object {
				return s.store("s", func(o *v1alpha1.ArtifactStore) { o.Spec.Registry = v1alpha1.RegistrySpec{} })
			},
			want: "give exactly one of url and clusterRegistry",
		},
		"SecretForTheCluster": {
			reason: "nothing would read it",
			object: func(s *scene) client.Object {
				return s.store("s", inCluster(""), func(o *v1alpha1.ArtifactStore) {
					o.Spec.Registry.CredentialsSecretRef = &v1alpha1.LocalReference{Name: "push"}
				})
			},
			want: "nfo logs in with its own ServiceAccount",
		},
		"UsageOfAnotherRegistry": {
			reason: "no other registry reports its disk",
			object: func(s *scene) client.Object {
				return s.store("s", func(o *v1alpha1.ArtifactStore) { o.Spec.Purge.Usage = v1alpha1.UsageRegistry })
			},
			want: "usage Registry needs registry.clusterRegistry",
		},
		"PrefixUpperCase": {reason: "repository names are lower case", object: func(s *scene) client.Object { return s.store("s", inCluster("Acme")) }, want: "spec.registry.clusterRegistry.prefix in body should match"},
		"PrefixSlash":     {reason: "a path has no empty segment", object: func(s *scene) client.Object { return s.store("s", inCluster("acme/")) }, want: "spec.registry.clusterRegistry.prefix in body should match"},
		"NegativeGrace": {
			reason: "grace ends after it has begun",
			object: func(s *scene) client.Object {
				return s.store("s", func(o *v1alpha1.ArtifactStore) { o.Spec.Purge.GracePeriod = metav1.Duration{Duration: -time.Hour} })
			},
			want: "gracePeriod must not be negative",
		},
		"GraceInDays": {
			reason: "a duration has no days",
			object: func(s *scene) client.Object { return withText(s.store("s"), "1d", "spec", "purge", "gracePeriod") },
			want:   "gracePeriod must be in hours, minutes and seconds, such as 24h or 1h30m; days are not supported: instead of 1d use 24h",
		},
		"GraceWithoutUnit": {
			reason: "a number is not a duration",
			object: func(s *scene) client.Object { return withText(s.store("s"), "24", "spec", "purge", "gracePeriod") },
			want:   "gracePeriod must be in hours",
		},
		"RefreshInDays": {
			reason: "a duration has no days",
			object: func(s *scene) client.Object { return withText(s.store("s"), "1d", "spec", "mirror", "refreshPeriod") },
			want:   "refreshPeriod must be in hours",
		},
		"ThresholdOverAll": {
			reason: "a percentage",
			object: func(s *scene) client.Object {
				return s.store("s", func(o *v1alpha1.ArtifactStore) { o.Spec.Purge.ThresholdPercent = 101 })
			},
			want: "should be less than or equal to 100",
		},
		"ArtifactNameUpperCase": {reason: "no registry would take it", object: manifest("Nginx:1"), want: "spec.artifacts[0].artifactName in body should match"},
		"ArtifactNameDots":      {reason: "no way out of the manifest's path", object: manifest("..:1"), want: "spec.artifacts[0].artifactName in body should match"},
		"ArtifactNameTrailing":  {reason: "a separator separates", object: manifest("nginx-:1"), want: "spec.artifacts[0].artifactName in body should match"},
		"ArtifactNameSegments": {
			reason: "two manifests could share a path",
			object: manifest("web/nginx:1"),
			want:   "an artifactName is one path segment, without '/', unless uploadPath is StoreScoped",
		},
		"ArtifactVersionPlus": {reason: "no tag has a plus", object: manifest("nginx:1.0+build"), want: "spec.artifacts[0].artifactVersion in body should match"},
		"ArtifactTwice":       {reason: "one entry, one tag", object: manifest("nginx:1", "other:1", "nginx:1"), want: "Duplicate value"},
		"TooManyArtifacts": {
			reason: "a manifest is read, polled and recorded as one",
			object: func(s *scene) client.Object {
				var all []string
				for i := range 513 {
					all = append(all, fmt.Sprintf("a%d:1", i))
				}
				return s.manifest("m", all...)
			},
			want: "must have at most 512 items",
		},
		"RepositoryTooLong": {
			reason: "registries agree on 255 characters",
			object: func(s *scene) client.Object {
				return s.manifest(strings.Repeat("m", 128), strings.Repeat("a", 127)+":1")
			},
			want: "a repository name, <manifest>/<artifactName>, has at most 255 characters",
		},
		"BothSources": {
			reason: "the old form and the new one hold differently",
			object: source(func(o *v1alpha1.ArtifactSource) { o.ArtifactStoreRef = &v1alpha1.LocalReference{Name: "acme"} }),
			want:   "set exactly one of artifactManifestRef and artifactStoreRef (the old form)",
		},
		"NoSource": {
			reason: "an artifact comes from somewhere",
			object: source(func(o *v1alpha1.ArtifactSource) { o.ArtifactManifestRef = nil }),
			want:   "set exactly one of artifactManifestRef and artifactStoreRef (the old form)",
		},
		"NoSourceInDesign": {
			reason: "the same rule, for templates",
			object: func(s *scene) client.Object {
				o := s.design("nsdv", "m", "a:1", "nfdv")
				o.Spec.ResourceElementTemplates[0].Configuration.ArtifactProfile.ArtifactManifestRef = nil
				return o
			},
			want: "set exactly one of artifactManifestRef and artifactStoreRef (the old form)",
		},
		"NoApplications": {
			reason: "a function of nothing",
			object: func(s *scene) client.Object {
				o := s.definition("nfdv", "m", "a")
				o.Spec.NetworkFunctionTemplate.NetworkFunctionApplications = []v1alpha1.NetworkFunctionApplication{}
				return o
			},
			want: "should have at least 1 items",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := env.Client.Create(t.Context(), c.object(s))
			refused(t, err, c.reason, c.want)
		})
	}
}

func refused(t *testing.T, err error, reason, want string) {
	t.Helper()
	if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), want) {
		t.Errorf("%s: got %v, want it refused with %q", reason, err, want)
	}
}

func TestChangeIsRefused(t *testing.T) {
	t.Parallel()
	sealed := "of a sealed manifest (artifactManifestState Uploaded) cannot be changed; make a new manifest for a new version"
	for name, c := range map[string]struct {
		reason string
		state  v1alpha1.ManifestState // of the manifest
		path   v1alpha1.UploadPath
		change func(*v1alpha1.ArtifactManifest)
		want   string // "" if it is allowed
	}{
		"Store": {
			reason: "artifacts do not move",
			change: func(m *v1alpha1.ArtifactManifest) { m.Spec.ArtifactStoreRef.Name = "other" },
			want:   "the store of a manifest cannot be changed; make another manifest",
		},
		"PathBack": {
			reason: "one way only",
			change: func(m *v1alpha1.ArtifactManifest) { m.Spec.UploadPath = v1alpha1.StoreScoped },
			want:   "uploadPath changes one way only, from StoreScoped to ManifestScoped",
		},
		"UpgradeWithSegments": {
			reason: "an upgrade must give names that the new path can have",
			path:   v1alpha1.StoreScoped,
			change: func(m *v1alpha1.ArtifactManifest) {
				m.Spec.UploadPath, m.Spec.Artifacts[0].ArtifactName = v1alpha1.ManifestScoped, "web/nginx"
			},
			want: "an artifactName is one path segment",
		},
		"Unseal": {
			reason: "sealed is permanent",
			state:  v1alpha1.ManifestUploaded,
			change: func(m *v1alpha1.ArtifactManifest) { m.Spec.ArtifactManifestState = v1alpha1.ManifestUploading },
			want:   "a sealed manifest (artifactManifestState Uploaded) stays sealed; make a new manifest for a new version",
		},
		"SealedAdd": {
			reason: "what is sealed is whole",
			state:  v1alpha1.ManifestUploaded,
			change: func(m *v1alpha1.ArtifactManifest) {
				m.Spec.Artifacts = append(m.Spec.Artifacts, v1alpha1.ManifestArtifact{ArtifactName: "b", ArtifactVersion: "1"})
			},
			want: sealed,
		},
		"SealedRemove": {
			reason: "nothing is released from it but all",
			state:  v1alpha1.ManifestUploaded,
			change: func(m *v1alpha1.ArtifactManifest) { m.Spec.Artifacts = nil },
			want:   sealed,
		},
		"SealedVersion": {
			reason: "another version is another artifact",
			state:  v1alpha1.ManifestUploaded,
			change: func(m *v1alpha1.ArtifactManifest) { m.Spec.Artifacts[0].ArtifactVersion = "2" },
			want:   sealed,
		},
		"SealedUpgrade": {
			reason: "the upgrade returns a sealed manifest to Uploading",
			state:  v1alpha1.ManifestUploaded, path: v1alpha1.StoreScoped,
			change: func(m *v1alpha1.ArtifactManifest) {
				m.Spec.UploadPath, m.Spec.ArtifactManifestState = v1alpha1.ManifestScoped, v1alpha1.ManifestUploading
			},
		},
		"SealedLabel": {
			reason: "metadata is not part of the seal",
			state:  v1alpha1.ManifestUploaded,
			change: func(m *v1alpha1.ArtifactManifest) { m.Labels = map[string]string{"a": "b"} },
		},
		"Seal": {
			reason: "sealing is the way",
			change: func(m *v1alpha1.ArtifactManifest) { m.Spec.ArtifactManifestState = v1alpha1.ManifestUploaded },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			m := s.manifest("m", "a:1")
			m.Spec.ArtifactManifestState, m.Spec.UploadPath = c.state, c.path
			s.create(m)
			c.change(m)
			if err := env.Client.Update(t.Context(), m); c.want != "" {
				refused(t, err, c.reason, c.want)
			} else {
				s.Expect(err).NotTo(gomega.HaveOccurred(), c.reason)
			}
		})
	}
	for name, c := range map[string]struct {
		reason, want string
		was          func(*v1alpha1.ArtifactStore)
		change       v1alpha1.RegistrySpec
	}{
		"ToCluster":   {"artifacts do not move", "a store cannot move between url and clusterRegistry", nil, v1alpha1.RegistrySpec{ClusterRegistry: &v1alpha1.ClusterRegistrySpec{}}},
		"FromCluster": {"artifacts do not move", "a store cannot move between url and clusterRegistry", inCluster(""), v1alpha1.RegistrySpec{URL: "https://registry.example.com"}},
		"Prefix":      {"tombstones are of a place", "the prefix of a store cannot be changed", inCluster("a"), v1alpha1.RegistrySpec{ClusterRegistry: &v1alpha1.ClusterRegistrySpec{Prefix: "b"}}},
		"NoPrefix":    {"the default may be another one", "the prefix of a store cannot be changed", inCluster("a"), v1alpha1.RegistrySpec{ClusterRegistry: &v1alpha1.ClusterRegistrySpec{}}},
		"APrefix":     {"the default may be another one", "the prefix of a store cannot be changed", inCluster(""), v1alpha1.RegistrySpec{ClusterRegistry: &v1alpha1.ClusterRegistrySpec{Prefix: "b"}}},
	} {
		t.Run("Registry"+name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			store := s.store("acme")
			if c.was != nil {
				c.was(store)
			}
			s.create(store)
			store.Spec.Registry = c.change
			refused(t, env.Client.Update(t.Context(), store), c.reason, c.want)
		})
	}
	t.Run("URL", func(t *testing.T) {
		t.Parallel()
		s := newScene(t)
		store := s.store("acme")
		s.create(store)
		store.Spec.Registry.URL = s.registry.URL("other")
		refused(t, env.Client.Update(t.Context(), store), "tombstones are of a place", "the registry URL of a store cannot be changed; make another store")
	})
}

// withText returns an object with a text in a field, as a user may write it who does not know the field's type.
func withText(o client.Object, text string, fields ...string) client.Object {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err == nil {
		err = unstructured.SetNestedField(content, text, fields...)
	}
	if err != nil {
		panic(err)
	}
	u := &unstructured.Unstructured{Object: content}
	u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(reference.Self(o).Kind))
	return u
}

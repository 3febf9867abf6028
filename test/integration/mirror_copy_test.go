package integration

import (
	"context"
	"testing"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/mirror/settings"
	"github.com/nfo-operator/nfo/internal/place"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
	"github.com/nfo-operator/nfo/test/environment"
)

// artifactOf returns an Artifact as a user creates it.
func (s *scene) artifactOf(image string) *v1alpha1.Artifact {
	a := &v1alpha1.Artifact{ObjectMeta: s.meta(v1alpha1.ArtifactName(image))}
	a.Spec.SourceArtifact = image
	return a
}

// mirrorState returns a function that reads the state and the condition Ready of an Artifact, as state status/reason.
func mirrorState(a *v1alpha1.Artifact) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		if err := env.Client.Get(ctx, client.ObjectKeyFromObject(a), a); err != nil {
			return "", err
		}
		c := apimeta.FindStatusCondition(a.Status.Conditions, v1alpha1.ConditionReady)
		if c == nil {
			return string(a.Status.State), nil
		}
		return string(a.Status.State) + " " + string(c.Status) + "/" + c.Reason, nil
	}
}

// The manager creates the mirror's store, copies images with the Secrets of each namespace, and deletes
// the store when the mirror is disabled. The cluster has only one mirror, and the managers of other
// tests have no settings and so delete its store: this test must not run in parallel with others.
func TestTheMirrorCopies(t *testing.T) { //nolint:paralleltest // see above
	dir := t.TempDir()
	source := registrytest.Start(t, registrytest.InDir(dir), registrytest.BasicAuth("puller", "secret of the source"))
	inside := registrytest.Start(t, registrytest.InDir(dir))
	s := newGuardedScene(t, registrytest.Own())
	other := s.neighbour()
	want, err := registrytest.PushIndex(t.Context(), inside.Host, "acme/upf", "1", []string{"linux/amd64", "linux/arm64"}, "mirror")
	if err != nil {
		t.Fatal(err)
	}
	spec, err := settings.Parse([]byte("mirror: {images: KnownStores, refreshPeriod: 1m}\npurge: {schedule: ''}\n"))
	if err != nil {
		t.Fatal(err)
	}
	places, err := place.Parse([]byte("places: [{registry: " + v1alpha1.ClusterRegistryHost + "/" + v1alpha1.MirrorPrefix + ", namespaces: [" + v1alpha1.ManagerNamespace + "]}]"))
	if err != nil {
		t.Fatal(err)
	}
	options := func(o *environment.ManagerOptions) {
		o.Namespaces = []string{v1alpha1.ManagerNamespace, s.ns, other.ns}
		o.Settings, o.Places, o.Cluster = spec, places, registry.ClusterRegistry{Address: s.registry.URL("")}
	}
	image := source.Host + "/acme/upf:1"
	login := func(s *scene, name, password string) *corev1.Secret {
		return &corev1.Secret{ObjectMeta: s.meta(name), Type: corev1.SecretTypeDockerConfigJson, StringData: map[string]string{
			corev1.DockerConfigJsonKey: `{"auths":{"` + source.Host + `":{"username":"puller","password":"` + password + `"}}}`,
		}}
	}
	known := s.store("acme", func(o *v1alpha1.ArtifactStore) {
		o.Spec.Registry = v1alpha1.RegistrySpec{URL: source.URL("acme"), CredentialsSecretRef: &v1alpha1.LocalReference{Name: "right"}}
	})
	user := &corev1.ServiceAccount{ObjectMeta: s.meta("upf"), ImagePullSecrets: []corev1.LocalObjectReference{{Name: "wrong"}, {Name: "right"}}}
	mine, theirs := s.artifactOf(image), other.artifactOf(image)
	s.create(login(s, "wrong", "guessed"), login(s, "right", "secret of the source"), user, known, mine, theirs)
	manager := s.manage(options)

	s.Eventually(mirrorState(mine)).WithContext(t.Context()).Should(gomega.Equal("Present True/Present"))
	if mine.Status.Digest != want.Digest.String() || mine.Status.CredentialsSecretRef == nil || mine.Status.CredentialsSecretRef.Name != "right" {
		t.Errorf("its status is %+v", mine.Status)
	}
	if at, err := registrytest.TagDigest(t.Context(), s.inside.Host, mine.Status.Repository, "1"); err != nil || at != want.Digest {
		t.Errorf("the mirror has %s, want %s, %v", at, want.Digest, err)
	}
	// Another namespace, which has no login, may not use the existing copy.
	s.Eventually(mirrorState(theirs)).WithContext(t.Context()).Should(gomega.Equal("Failed False/Denied"))

	manager.Stop()
	var store v1alpha1.ArtifactStore
	key := client.ObjectKey{Namespace: v1alpha1.ManagerNamespace, Name: v1alpha1.MirrorName}
	s.Expect(env.Client.Get(t.Context(), key, &store)).To(gomega.Succeed())
	s.manage(options, func(o *environment.ManagerOptions) { o.Settings = nil })
	s.Eventually(func(ctx context.Context) bool {
		return apierrors.IsNotFound(env.Client.Get(ctx, key, &store))
	}).WithContext(t.Context()).Should(gomega.BeTrue())
	s.Eventually(mirrorState(mine)).WithContext(t.Context()).Should(gomega.Equal("Present Unknown/MirrorNotReady"))
	s.Expect(env.Client.Delete(t.Context(), mine, &client.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &mine.UID}})).To(gomega.Succeed())
	s.Expect(env.Client.Delete(t.Context(), theirs)).To(gomega.Succeed())
}

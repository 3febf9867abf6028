package integration

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
	"github.com/opencontainers/go-digest"
	authenticationv1 "k8s.io/api/authentication/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/clusterregistry/access"
	collecting "github.com/nfo-operator/nfo/internal/clusterregistry/collect"
	"github.com/nfo-operator/nfo/internal/clusterregistry/layout"
	"github.com/nfo-operator/nfo/internal/clusterregistry/serve"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/oci"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
	"github.com/nfo-operator/nfo/test/environment"
)

// inCluster makes a store use the cluster's own registry.
func inCluster(prefix string) func(*v1alpha1.ArtifactStore) {
	return func(s *v1alpha1.ArtifactStore) {
		s.Spec.Registry = v1alpha1.RegistrySpec{ClusterRegistry: &v1alpha1.ClusterRegistrySpec{Prefix: prefix}}
	}
}

// newClusterScene returns a scene whose registry is the cluster's own. The registry authenticates users with the API server.
func newClusterScene(t *testing.T) *scene {
	t.Helper()
	auth, err := newAccess(t).Configuration()
	if err != nil {
		t.Fatal(err)
	}
	return newGuardedScene(t, registrytest.Own(), registrytest.Access(auth, access.Handler))
}

// newShippedScene returns a scene whose registry is everything that `nfo registry` serves, with its files in dir.
func newShippedScene(t *testing.T, dir string, change ...func(*serve.Options)) *scene {
	t.Helper()
	v, err := volume.Open(dir, volume.Options{})
	if err != nil {
		t.Fatal(err)
	}
	o := serve.Options{Volume: v, Access: newAccess(t), Collection: collecting.Options{Dwell: time.Millisecond}}
	for _, c := range change {
		c(&o)
	}
	shipped, err := serve.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- shipped.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-ended, shipped.Close()); err != nil {
			t.Error(err)
		}
	})
	r := registrytest.Start(t, registrytest.InDir(dir))
	r.App = shipped.Handler()
	return sceneAt(t, r, registrytest.Start(t, registrytest.InDir(dir)))
}

// token writes a token of an account, for the cluster's own registry or for other audiences, to a file and returns its path.
func (s *scene) token(namespace, name string, audiences ...string) string {
	s.t.Helper()
	if len(audiences) == 0 {
		audiences = []string{v1alpha1.ClusterRegistryAudience}
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	token := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: audiences}}
	if err := env.Client.SubResource("token").Create(s.t.Context(), account, token); err != nil {
		s.t.Fatal(err)
	}
	file := filepath.Join(s.t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token.Status.Token), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return file
}

// publisher creates an account ci that may push, and returns the path of its token.
func (s *scene) publisher() string {
	const name = "ci"
	s.t.Helper()
	s.create(&corev1.ServiceAccount{ObjectMeta: s.meta(name)}, &rbacv1.RoleBinding{
		ObjectMeta: s.meta(name), RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "nfo-publisher"},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: s.ns, Name: name}},
	})
	return s.token(s.ns, name)
}

// push pushes an artifact of a manifest, name:version, to the store with a token.
func (s *scene) push(store *v1alpha1.ArtifactStore, token, manifest, artifact string) error {
	s.t.Helper()
	cfg, err := registry.ConfigOf(store, nil)
	if err != nil {
		return err
	}
	cfg.TokenFile = token
	c, err := registry.Open(cfg)
	if err != nil {
		return err
	}
	defer c.Close()
	packed, err := oci.Pack(s.t.Context(), artifact, oci.Blob{MediaType: "application/vnd.oci.empty.v1+json", Data: []byte("{}")}, []oci.Blob{{MediaType: "text/plain", Data: []byte(artifact)}}, nil)
	if err != nil {
		return err
	}
	name, version, _ := strings.Cut(artifact, ":")
	repository := cfg.Location.Repository(manifest, v1alpha1.ManifestScoped, name)
	if err := c.Copy(s.t.Context(), repository, packed, func(int64) {}); err != nil {
		return err
	}
	_, err = c.PutTag(s.t.Context(), repository, version, packed.Root.Descriptor.Digest)
	return err
}

// A publisher pushes with only its account's rights, the manager detects,
// seals and releases the manifest, and the store's own purge deletes it.
func TestAStoreInTheClustersRegistry(t *testing.T) {
	t.Parallel()
	s := newClusterScene(t)
	s.manage(scheduled, func(o *environment.ManagerOptions) {
		o.Cluster = registry.ClusterRegistry{Address: s.registry.URL(""), TokenFile: s.token(v1alpha1.ManagerNamespace, v1alpha1.ManagerName)}
	})
	st := s.scheduledStore(noGrace, inCluster(""))
	s.Expect(st.Status.URL).To(gomega.Equal(s.registry.URL(s.ns)), "its prefix is the namespace")
	m := s.manifest("m", "a:1")
	s.create(m)
	ci := s.publisher()

	s.create(&corev1.ServiceAccount{ObjectMeta: s.meta("nobody")})
	denied := func(why string, err error, says string) {
		t.Helper()
		s.Expect(errors.Is(err, registry.ErrDenied)).To(gomega.BeTrue(), "%s: %v", why, err)
		s.Expect(err).To(gomega.MatchError(gomega.ContainSubstring(says)), why)
	}
	denied("no right", s.push(st, s.token(s.ns, "nobody"), "m", "a:1"), `needs the verb "push" on artifactmanifests/`+s.ns+`/m`)
	s.Eventually(func() error { return s.push(st, ci, "m", "a:1") }).Should(gomega.Succeed())
	denied("beside the list", s.push(st, ci, "m", "a:2"), "not with 2")
	denied("no manifest", s.push(st, ci, "n", "a:1"), "no ArtifactManifest")
	s.eventually(m, v1alpha1.ConditionUploaded, "True/Complete")
	change(s, m, func(m *v1alpha1.ArtifactManifest) { m.Spec.ArtifactManifestState = v1alpha1.ManifestUploaded })
	s.Eventually(func() error { return s.push(st, ci, "m", "a:1") }).Should(gomega.MatchError(gomega.ContainSubstring("is sealed")))

	repository := s.ns + "/m/a"
	digest := s.at(repository, "1")
	s.Expect(digest).NotTo(gomega.BeEmpty())
	s.delete(m)
	s.goes(m)
	s.Expect(s.at(repository, "1")).To(gomega.BeEmpty(), "the manager has untagged it")
	s.Expect(s.tombstones()[0].Spec.RegistryURL).To(gomega.Equal("https://" + v1alpha1.ClusterRegistryHost + "/" + s.ns))

	job := &batchv1.CronJob{ObjectMeta: s.meta("acme-purge")}
	s.Expect(env.Client.Get(t.Context(), client.ObjectKeyFromObject(job), job)).To(gomega.Succeed())
	s.Expect(job.Spec.JobTemplate.Spec.Template.Spec.Containers[0].Args).To(gomega.ContainElement("--registry-token=/registry-token/token"))
	code, out, errOut := s.purgeByHand(env.Kubeconfig())
	s.Expect(code).NotTo(gomega.BeZero(), out)
	s.Expect(errOut).To(gomega.ContainSubstring("kubectl create token acme-purge -n " + s.ns + " --audience nfo-registry"))
	code, out, errOut = s.purgeByHand(s.account("acme-purge"), "--registry-token", s.token(s.ns, "acme-purge"))
	s.Expect(code).To(gomega.BeZero(), "%s%s", out, errOut)
	s.Expect(out).To(gomega.ContainSubstring("1 deleted"))
	cfg, err := registry.ConfigOf(st, nil)
	s.Expect(err).NotTo(gomega.HaveOccurred())
	cfg.TokenFile = s.token(s.ns, "acme-purge")
	c, err := registry.Open(cfg)
	s.Expect(err).NotTo(gomega.HaveOccurred())
	defer c.Close()
	_, err = c.Resolve(t.Context(), repository, digest)
	s.Expect(errors.Is(err, registry.ErrNotFound)).To(gomega.BeTrue(), "%v", err)
}

// The API server says whose token it is and for which audience.
func TestTokensOfTheClustersRegistry(t *testing.T) {
	t.Parallel()
	s := newClusterScene(t)
	s.manage(func(o *environment.ManagerOptions) {
		o.Cluster = registry.ClusterRegistry{Address: s.registry.URL(""), TokenFile: s.token(v1alpha1.ManagerNamespace, v1alpha1.ManagerName)}
	})
	st := s.store("acme", inCluster(""))
	s.create(st, s.manifest("m", "a:1"))
	s.eventually(st, v1alpha1.ConditionReady, "True/Ready")
	ci := s.publisher()
	s.Eventually(func() error { return s.push(st, ci, "m", "a:1") }).Should(gomega.Succeed())
	for why, token := range map[string]string{
		"a token for the API server": s.token(s.ns, "ci", "https://kubernetes.default.svc"),
		"a token for somebody else":  s.token(s.ns, "ci", "vault"),
	} {
		err := s.push(st, token, "m", "a:1")
		s.Expect(errors.Is(err, registry.ErrDenied)).To(gomega.BeTrue(), "%s: %v", why, err)
	}
	s.delete(&corev1.ServiceAccount{ObjectMeta: s.meta("ci")})
	s.Eventually(func() bool { return errors.Is(s.push(st, ci, "m", "a:1"), registry.ErrDenied) }).Should(gomega.BeTrue(), "the account is gone")
}

// A purge frees the disk of the cluster's own registry and reports how much. Only the purge may request a collection.
func TestAPurgeFreesTheDiskOfTheClustersRegistry(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := newShippedScene(t, dir)
	s.manage(scheduled, func(o *environment.ManagerOptions) {
		o.Cluster = registry.ClusterRegistry{Address: s.registry.URL(""), TokenFile: s.token(v1alpha1.ManagerNamespace, v1alpha1.ManagerName)}
	})
	st := s.scheduledStore(noGrace, inCluster(""))
	m := s.manifest("m", "a:1")
	s.create(m)
	ci := s.publisher()
	s.Eventually(func() error { return s.push(st, ci, "m", "a:1") }).Should(gomega.Succeed())
	s.eventually(m, v1alpha1.ConditionUploaded, "True/Complete")
	layer := filepath.Join(dir, layout.BlobPath(digest.FromString("a:1")))
	s.Expect(layer).To(gomega.BeARegularFile())
	s.delete(m)
	s.goes(m)

	then := time.Now().Add(-48 * time.Hour) // content that is younger than an hour is not collected
	s.Expect(fs.WalkDir(os.DirFS(dir), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		return os.Chtimes(filepath.Join(dir, name), then, then)
	})).To(gomega.Succeed())
	token := s.token(s.ns, "acme-purge")
	code, out, errOut := s.purgeByHand(s.account("acme-purge"), "--registry-token", token, "--wait-for-collection=1m")
	s.Expect(code).To(gomega.BeZero(), "%s%s", out, errOut)
	s.Expect(out).To(gomega.And(gomega.ContainSubstring("1 deleted"), gomega.ContainSubstring("the registry freed ")))
	s.Expect(layer).NotTo(gomega.BeAnExistingFile())
	s.Expect(env.Client.Get(t.Context(), client.ObjectKeyFromObject(st), st)).To(gomega.Succeed())
	s.Expect(st.Status.LastPurge.FreedBytes).To(gomega.HaveValue(gomega.BeNumerically(">", 0)))
	s.Expect(st.Status.Usage.Source).To(gomega.Equal(v1alpha1.UsageRegistry), "the default in the cluster's own registry")
	s.Expect(st.Status.Usage.Percent).NotTo(gomega.BeNil(), "without a capacity")
	s.says(st, v1alpha1.ConditionPurgeHealthy, "True/Succeeded", "and the registry freed ")

	for who, file := range map[string]string{"a publisher": ci, "the purge of another store": token} {
		cfg, err := registry.ConfigOf(st, nil)
		s.Expect(err).NotTo(gomega.HaveOccurred())
		cfg.TokenFile = file
		c, err := registry.Open(cfg)
		s.Expect(err).NotTo(gomega.HaveOccurred())
		defer c.Close()
		store := client.ObjectKey{Namespace: s.ns, Name: "acme"}
		if file == token {
			_, err = c.Collect(t.Context(), store)
			s.Expect(err).NotTo(gomega.HaveOccurred())
			store.Namespace = "elsewhere"
		}
		_, err = c.Collect(t.Context(), store)
		s.Expect(errors.Is(err, registry.ErrDenied)).To(gomega.BeTrue(), "%s: %v", who, err)
		s.Expect(err).To(gomega.MatchError(gomega.ContainSubstring(`the verb "purge" on artifactstores/` + store.String())))
	}
}

// If the cluster has no registry of its own, a store that uses it reports this and how to get one.
func TestTheClusterHasNoRegistry(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage()
	st := s.store("acme", inCluster(""))
	s.create(st)
	s.says(st, v1alpha1.ConditionReady, "False/ClusterRegistryDisabled", "the cluster's own registry is not enabled", "--set registry.enabled=true")
	s.Expect(st.Status.URL).To(gomega.BeEmpty())
}

// Each namespace has its own prefixes, even for stores that no webhook has checked.
func TestAPrefixOfAnotherNamespaceIsRefused(t *testing.T) {
	t.Parallel()
	s := newClusterScene(t)
	s.manage()
	st := s.store("acme", inCluster("other"))
	s.create(st)
	s.says(st, v1alpha1.ConditionReady, "False/PlaceRefused", "the prefix of a store in namespace "+s.ns+" is "+s.ns)
}

package integration

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/clusterregistry/access"
	"github.com/nfo-operator/nfo/internal/mirror/settings"
	"github.com/nfo-operator/nfo/internal/place"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
	"github.com/nfo-operator/nfo/test/environment"
)

// loader creates an account that may read and fill the mirror, and a user who may create tokens of
// this account and Artifacts in the scene's namespace. It returns the path of the user's kubeconfig.
func (s *scene) loader() (user string) {
	s.t.Helper()
	loader := &corev1.ServiceAccount{ObjectMeta: s.meta("loader")}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: v1alpha1.ManagerNamespace, Name: s.ns + "-loader"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "nfo-mirror-publisher"},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: s.ns, Name: "loader"}, {Kind: rbacv1.ServiceAccountKind, Namespace: s.ns, Name: "jane"}},
	}
	s.create(loader, binding)
	s.t.Cleanup(func() { // the test's context has ended
		if err := env.Client.Delete(context.WithoutCancel(s.t.Context()), binding); err != nil {
			s.t.Error(err)
		}
	})
	return s.account("jane",
		rbacv1.PolicyRule{APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{"artifacts"}, Verbs: []string{"get", "list", "create", "delete"}},
		rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"serviceaccounts/token"}, ResourceNames: []string{"loader"}, Verbs: []string{"create"}})
}

// ownRegistry starts another, empty registry of the cluster, and returns it with the path of its CA certificate.
func (s *scene) ownRegistry() (r *registrytest.Registry, ca string) {
	s.t.Helper()
	auth, err := newAccess(s.t).Configuration()
	s.Expect(err).NotTo(gomega.HaveOccurred())
	r = registrytest.Start(s.t, registrytest.TLS(), registrytest.Own(), registrytest.Access(auth, access.Handler))
	ca = filepath.Join(s.t.TempDir(), "ca.crt")
	s.Expect(os.WriteFile(ca, r.CA, 0o600)).To(gomega.Succeed())
	return r, ca
}

// The images of one site are exported, and another site that cannot reach the source runs from
// the export. The cluster has only one mirror, so the test does not run in parallel with others.
func TestASiteWithoutAnUplink(t *testing.T) { //nolint:paralleltest // see above
	s := newScene(t)
	p := s.workplace()
	source := p.elsewhere
	upf, sbom, signature := p.signed("acme/upf")
	amf := p.build("acme/amf", "1", "amf")
	spec, err := settings.Parse([]byte("mirror: {images: KnownStores, rewrite: Always, refreshPeriod: 1m}\npurge: {schedule: ''}\n"))
	s.Expect(err).NotTo(gomega.HaveOccurred())
	places, err := place.Parse([]byte("places: [{registry: " + v1alpha1.ClusterRegistryHost + "/" + v1alpha1.MirrorPrefix + ", namespaces: [" + v1alpha1.ManagerNamespace + "]}]"))
	s.Expect(err).NotTo(gomega.HaveOccurred())
	manage := func(r *registrytest.Registry, ca string) *environment.Manager {
		return s.manage(func(o *environment.ManagerOptions) {
			o.Namespaces, o.Settings, o.Places = []string{v1alpha1.ManagerNamespace, s.ns}, spec, places
			o.Cluster = registry.ClusterRegistry{Address: r.URL(""), CAFile: ca, TokenFile: s.token(v1alpha1.ManagerNamespace, v1alpha1.ManagerName)}
		})
	}
	jane := s.loader()
	command := func(args ...string) *exec.Cmd {
		cmd := s.pluginCommand(append(args, "-n", s.ns, "--service-account", s.ns+":loader")...)
		cmd.Dir, cmd.Env = p.home, p.command().Env
		return as(jane, cmd)
	}
	store := &v1alpha1.ArtifactStore{ObjectMeta: metav1.ObjectMeta{Namespace: v1alpha1.ManagerNamespace, Name: v1alpha1.MirrorName}}
	at := func() string {
		_ = env.Client.Get(t.Context(), client.ObjectKeyFromObject(store), store)
		return store.Status.URL
	}
	byTag, byDigest := s.artifactOf(source.Host+"/acme/upf:1"), s.artifactOf(source.Host+"/acme/amf@"+amf.Digest.String())
	s.create(s.store("acme", func(o *v1alpha1.ArtifactStore) { o.Spec.Registry = v1alpha1.RegistrySpec{URL: source.URL("acme")} }), byTag, byDigest)

	here, ca := s.ownRegistry()
	manager := manage(here, ca)
	for _, a := range []*v1alpha1.Artifact{byTag, byDigest} {
		s.Eventually(mirrorState(a)).WithContext(t.Context()).Should(gomega.Equal("Present True/Present"))
	}
	var out, errOut string
	s.Eventually(func() int { // until the registry knows the account's rights
		var code int
		code, out, errOut = s.run(command("images", "--export", "site.tar"))
		return code
	}).Should(gomega.BeZero(), func() string { return out + errOut })
	s.Expect(out).To(gomega.ContainSubstring(upf.Digest.String()))
	blobs := func(req *http.Request) bool {
		return req.Method == http.MethodGet && strings.Contains(req.URL.Path, "/blobs/")
	}
	here.Forget()
	code, out, errOut := s.run(command("images", "--export", "site.tar"))
	s.Expect(code).To(gomega.BeZero(), out+errOut)
	s.Expect(here.Count(blobs)).To(gomega.BeZero(), "the second export reads no blob")
	manager.Stop()

	// The other site has another registry and cannot reach the source.
	source.Down()
	s.delete(byTag, byDigest)
	there, ca := s.ownRegistry()
	manager = manage(there, ca)
	s.Eventually(at).Should(gomega.Equal(there.URL(v1alpha1.MirrorPrefix)))
	s.Eventually(func() int {
		code, out, errOut = s.run(command("publish", "--mirror", "oci-archive:site.tar"))
		return code
	}).Should(gomega.BeZero(), func() string { return out + errOut })
	s.Expect(out).To(gomega.ContainSubstring("with 2 signatures"))
	there.Forget()
	code, out, errOut = s.run(command("publish", "--mirror", "oci-archive:site.tar"))
	s.Expect(code).To(gomega.BeZero(), out+errOut)
	s.Expect(there.Writes()).To(gomega.BeZero(), "the second import sends nothing")

	inMirror, err := registry.Open(registry.Config{Location: there.Location(v1alpha1.MirrorPrefix), CABundle: there.CA, TokenFile: s.token(v1alpha1.ManagerNamespace, v1alpha1.ManagerName)})
	s.Expect(err).NotTo(gomega.HaveOccurred())
	defer inMirror.Close()
	path := v1alpha1.MirrorPrefix + "/" + strings.Replace(source.Host, ":", "_", 1) + "/acme/"
	s.Expect(inMirror.Verify(t.Context(), path+"upf", "1", upf)).To(gomega.Succeed(), "nodes find it under the pods' name")
	s.Expect(inMirror.Verify(t.Context(), path+"upf", "", sbom)).To(gomega.Succeed())
	s.Expect(inMirror.Resolve(t.Context(), path+"upf", signature)).To(gomega.HaveField("Size", gomega.BeNumerically(">", 0)))
	s.Expect(inMirror.Verify(t.Context(), path+"amf", "", amf)).To(gomega.Succeed())
	for _, a := range []*v1alpha1.Artifact{byTag, byDigest} {
		s.Eventually(mirrorState(a)).WithContext(t.Context()).Should(gomega.Equal("Present True/Present"))
		s.Expect(a.Status.SourceUnreachableSince).NotTo(gomega.BeNil())
		s.Expect(a.Status.Size).To(gomega.BeNumerically(">", 0))
		s.Expect(a.Status.Conditions[0].Message).To(gomega.And(gomega.ContainSubstring("has not answered since"), gomega.ContainSubstring("Nothing is removed for that")))
		s.delete(a)
	}
	s.Expect(byTag.Status.Digest).To(gomega.Equal(upf.Digest.String()))
	manager.Stop()
	spec = nil
	manage(there, ca) // without a mirror the manager deletes the store, so that other tests can have one
	s.Eventually(func(ctx context.Context) bool {
		return apierrors.IsNotFound(env.Client.Get(ctx, client.ObjectKeyFromObject(store), store))
	}).WithContext(t.Context()).Should(gomega.BeTrue())
}

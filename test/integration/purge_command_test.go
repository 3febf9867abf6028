package integration

import (
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/onsi/gomega"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/purge/cronjob"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

var (
	// impersonate is the only right that a manual purge needs.
	impersonate = rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"serviceaccounts"}, ResourceNames: []string{"acme-purge"}, Verbs: []string{"impersonate"}}
	// read is what a dry run needs to read from the cluster.
	read = rbacv1.PolicyRule{APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{"*"}, Verbs: []string{"get", "list"}}
	// edit is what a user has who edits the product's objects.
	edit = rbacv1.PolicyRule{APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{"*"}, Verbs: []string{"*"}}
	// secrets is needed for a registry with a password.
	secrets = rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get"}}
)

// purgeByHand runs `nfo purge` for the store "acme" with a kubeconfig file.
func (s *scene) purgeByHand(kubeconfig string, args ...string) (code int, out, errOut string) {
	s.t.Helper()
	dir, err := programs()
	if err != nil {
		s.t.Fatal(err)
	}
	args = append([]string{"purge", "--kubeconfig", kubeconfig, "--namespace", s.ns, "--store", "acme", "--allow-loopback-registries"}, args...)
	return s.run(exec.CommandContext(s.t.Context(), filepath.Join(dir, "nfo"), args...))
}

// account writes a kubeconfig file for a ServiceAccount of the scene and returns its path. If there are rules,
// it creates the account with these rights. The file contains the account's own token and impersonates no one.
func (s *scene) account(name string, rules ...rbacv1.PolicyRule) string {
	s.t.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: s.meta(name)}
	if len(rules) > 0 {
		s.create(account, &rbacv1.Role{ObjectMeta: s.meta(name), Rules: rules}, &rbacv1.RoleBinding{
			ObjectMeta: s.meta(name), RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
			Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: s.ns, Name: name}},
		})
		s.Eventually(func() bool { return s.allowed(name, rules[len(rules)-1]) }).Should(gomega.BeTrue())
	}
	token := &authenticationv1.TokenRequest{}
	if err := env.Client.SubResource("token").Create(s.t.Context(), account, token); err != nil {
		s.t.Fatal(err)
	}
	config, err := clientcmd.LoadFromFile(env.Kubeconfig())
	if err != nil {
		s.t.Fatal(err)
	}
	for _, user := range config.AuthInfos {
		user.ClientCertificateData, user.ClientKeyData, user.Token = nil, nil, token.Status.Token
	}
	file := filepath.Join(s.t.TempDir(), name)
	if err := clientcmd.WriteToFile(*config, file); err != nil {
		s.t.Fatal(err)
	}
	return file
}

// allowed reports whether the API server already knows a right of an account.
func (s *scene) allowed(name string, rule rbacv1.PolicyRule) bool {
	s.t.Helper()
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: "system:serviceaccount:" + s.ns + ":" + name,
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Verb: strings.Replace(rule.Verbs[0], "*", "update", 1), Group: rule.APIGroups[0], Resource: strings.Replace(rule.Resources[0], "*", "tombstones", 1),
			Namespace: s.ns, Name: strings.Join(rule.ResourceNames, ""),
		},
	}}
	if err := env.Client.Create(s.t.Context(), review); err != nil {
		s.t.Fatal(err)
	}
	return review.Status.Allowed
}

// guardedStore creates a store whose registry requires a password and whose usage
// is measured on a volume, and releases two artifacts that may be purged at once.
func guardedStore(t *testing.T) (s *scene, a, b string) {
	t.Helper()
	s = newGuardedScene(t, registrytest.BasicAuth(user, password))
	s.create(s.basicAuth(password))
	s.manage(scheduled)
	s.scheduledStore(noGrace, func(st *v1alpha1.ArtifactStore) {
		st.Spec.Registry.CredentialsSecretRef = &v1alpha1.LocalReference{Name: "push"}
		st.Spec.Purge.Usage = v1alpha1.UsageVolume
		st.Spec.Purge.PersistentVolumeClaim = &v1alpha1.LocalReference{Name: "registry"}
	})
	a, b = s.releasedImages()
	return s, a, b
}

// guarded returns a digest of the manifest "m" if the registry has it, otherwise "". It asks the registry
// with the password, because inside, another registry on the same files, may still know deleted digests.
func (s *scene) guarded(artifact, digest string) string {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodHead, "/v2/"+repository("m", artifact)+"/manifests/"+digest, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Accept", ocispec.MediaTypeImageManifest)
	req.SetBasicAuth(user, password)
	return behind(s.registry, req)
}

// mounted returns a folder with the files of the store's Secret, as a pod mounts it.
func (s *scene) mounted() string {
	s.t.Helper()
	dir := s.t.TempDir()
	for key, value := range s.basicAuth(password).StringData {
		if err := os.WriteFile(filepath.Join(dir, key), []byte(value), 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
	return dir
}

func TestPurgeByHand(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason     string
		kubeconfig func(*scene) string
		args       func(*scene) []string
		tells      bool // whether it logs that it runs as the store's account
	}{
		"Admin":        {"an administrator gives no flag", func(*scene) string { return env.Kubeconfig() }, nil, true},
		"Impersonator": {"all but reading the Secret is done as the store's account", func(s *scene) string { return s.account("jane", secrets, impersonate) }, nil, true},
		"As":           {"anyone who says as whom is not reminded", func(*scene) string { return env.Kubeconfig() }, func(s *scene) []string { return []string{"--as", "system:serviceaccount:" + s.ns + ":acme-purge"} }, false},
		"Job":          {"the account itself may impersonate nobody, and need not", func(s *scene) string { return s.account("acme-purge") }, func(s *scene) []string { return []string{"--credentials", s.mounted()} }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, a, b := guardedStore(t)
			args := []string{"--volume", t.TempDir()}
			if tc.args != nil {
				args = append(args, tc.args(s)...)
			}
			code, out, errOut := s.purgeByHand(tc.kubeconfig(s), args...)
			s.Expect(code).To(gomega.Equal(0), "%s: %s%s", tc.reason, out, errOut)
			s.Expect(out).To(gomega.ContainSubstring("Succeeded: 2 deleted, 0 kept"))
			s.Expect(s.guarded("a", a) + s.guarded("b", b)).To(gomega.BeEmpty())
			s.Expect(s.tombstones()).To(gomega.BeEmpty())
			reported := strings.Count(errOut, `"Running as the store's own account, which may write tombstones" user=system:serviceaccount:`+s.ns+":acme-purge\n")
			s.Expect(reported == 1).To(gomega.Equal(tc.tells), "%s: %s", tc.reason, errOut)
			st := s.store("acme")
			s.Expect(env.Client.Get(t.Context(), client.ObjectKeyFromObject(st), st)).To(gomega.Succeed())
			s.Expect(st.Status.LastPurge.Outcome).To(gomega.Equal(v1alpha1.PurgeSucceeded))
			s.Expect(st.Status.Usage.Source).To(gomega.Equal(v1alpha1.UsageVolume), "the volume was measured")
		})
	}
}

func TestPurgeByHandWithoutTheRight(t *testing.T) {
	t.Parallel()
	s, a, b := guardedStore(t)
	before, graves := s.guarded("a", a)+s.guarded("b", b), s.versions()
	s.Expect(before).To(gomega.Equal(a + b))
	s.registry.Forget()
	kubeconfig := s.account("jane", edit, secrets)
	unchanged := func() {
		t.Helper()
		s.Expect(s.registry.Writes()).To(gomega.BeZero())
		s.Expect(s.guarded("a", a) + s.guarded("b", b)).To(gomega.Equal(before))
		s.Expect(s.versions()).To(gomega.Equal(graves), "a tombstone was written")
		s.Expect(s.gone(&coordinationv1.Lease{ObjectMeta: s.meta(cronjob.LeaseName("acme"))})).To(gomega.BeTrue(), "the Lease was taken")
		st := s.store("acme")
		s.Expect(env.Client.Get(t.Context(), client.ObjectKeyFromObject(st), st)).To(gomega.Succeed())
		s.Expect(st.Status.LastPurge).To(gomega.BeNil(), "a run was recorded")
	}
	code, out, errOut := s.purgeByHand(kubeconfig)
	s.Expect(code).To(gomega.Equal(cronjob.ExitRefused), errOut)
	s.Expect(out).To(gomega.BeEmpty(), "it was planned")
	for _, says := range []string{
		`user "system:serviceaccount:` + s.ns + `:jane" lacks the verb impersonate on serviceaccounts "acme-purge" in the namespace "` + s.ns + `"`,
		"kubectl create job --from=cronjob/acme-purge purge-now -n " + s.ns, "--dry-run",
	} {
		s.Expect(errOut).To(gomega.ContainSubstring(says))
	}
	s.Expect(s.registry.Requests()).To(gomega.BeEmpty(), "the registry was read before it was known that nothing can be done")
	unchanged()

	code, out, errOut = s.purgeByHand(kubeconfig, "--as", "system:serviceaccount:"+s.ns+":acme-purge")
	s.Expect(code).To(gomega.Equal(cronjob.ExitFailed), out)
	s.Expect(errOut).NotTo(gomega.ContainSubstring("lacks the verb"), "only the API server says so")
	unchanged()

	code, out, errOut = s.purgeByHand(kubeconfig, "--dry-run")
	s.Expect(code).To(gomega.Equal(cronjob.ExitDone), errOut)
	s.Expect(out).To(gomega.And(gomega.ContainSubstring("2 would be deleted"), gomega.ContainSubstring(a), gomega.ContainSubstring(b)))
	unchanged()
}

// versions returns the names and resourceVersions of the scene's tombstones.
func (s *scene) versions() []string {
	s.t.Helper()
	all := map[string]bool{}
	for _, grave := range s.tombstones() {
		all[grave.Name+"@"+grave.ResourceVersion] = true
	}
	return slices.Sorted(maps.Keys(all))
}

func TestPurgeByHandWithoutAnAccount(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage() // without an image for purges
	store := s.store("acme", noGrace)
	s.create(store)
	s.eventually(store, v1alpha1.ConditionReady, "True/Ready")
	code, _, errOut := s.purgeByHand(env.Kubeconfig())
	s.Expect(code).To(gomega.Equal(cronjob.ExitRefused), errOut)
	s.Expect(errOut).To(gomega.And(gomega.ContainSubstring("ServiceAccount "+s.ns+"/acme-purge does not exist"), gomega.ContainSubstring("--purger-image")))
	code, _, errOut = s.purgeByHand(env.Kubeconfig(), "--dry-run")
	s.Expect(code).To(gomega.Equal(cronjob.ExitDone), errOut)
	code, _, errOut = s.purgeByHand(s.account("reader", read), "--dry-run")
	s.Expect(code).To(gomega.Equal(cronjob.ExitDone), errOut)

	s.delete(store)
	s.goes(store)
	code, _, errOut = s.purgeByHand(env.Kubeconfig())
	s.Expect(code).To(gomega.Equal(cronjob.ExitRefused), errOut)
	s.Expect(errOut).To(gomega.ContainSubstring("no store " + s.ns + "/acme"))
}

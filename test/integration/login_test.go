package integration

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/onsi/gomega"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/clusterregistry/access"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
	"github.com/nfo-operator/nfo/test/environment"
)

// as makes a command of `kubectl nfo` use the kubeconfig of another user.
func as(kubeconfig string, cmd *exec.Cmd) *exec.Cmd {
	i := slices.Index(cmd.Args, "--kubeconfig")
	cmd.Args[i+1] = kubeconfig
	return cmd
}

// secureClusterScene returns a scene with the cluster's own registry over TLS, a manager and the store acme.
func secureClusterScene(t *testing.T) *scene {
	t.Helper()
	auth, err := newAccess(t).Configuration()
	if err != nil {
		t.Fatal(err)
	}
	s := newGuardedScene(t, registrytest.TLS(), registrytest.Own(), registrytest.Access(auth, access.Handler))
	ca := filepath.Join(t.TempDir(), "ca.crt")
	s.Expect(os.WriteFile(ca, s.registry.CA, 0o600)).To(gomega.Succeed())
	s.manage(func(o *environment.ManagerOptions) {
		o.Cluster = registry.ClusterRegistry{Address: s.registry.URL(""), CAFile: ca, TokenFile: s.token(v1alpha1.ManagerNamespace, v1alpha1.ManagerName)}
	})
	st := s.store("acme", inCluster(""))
	s.create(st)
	s.eventually(st, v1alpha1.ConditionReady, "True/Ready")
	return s
}

// A user who may create tokens of an account pushes and logs docker in
// as that account, without other rights, a Secret or a stored login.
func TestPublishToTheClustersRegistryAsAnAccount(t *testing.T) {
	t.Parallel()
	p := secureClusterScene(t).workplace()
	m := p.manifest("m", "amf:1.0.0")
	p.create(m)
	p.chart("amf.tgz", "amf", "1.0.0")
	p.publisher()
	p.create(&corev1.ServiceAccount{ObjectMeta: p.meta("other")})
	jane := p.account("jane",
		rbacv1.PolicyRule{APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{"artifactmanifests", "artifactstores"}, Verbs: []string{"get"}},
		rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"serviceaccounts/token"}, ResourceNames: []string{"ci"}, Verbs: []string{"create"}})
	publish := func(args ...string) (int, string, string) {
		t.Helper()
		return p.run(as(jane, p.command(args...)))
	}
	login := func(args ...string) (int, string, string) {
		t.Helper()
		cmd := as(jane, p.pluginCommand(append([]string{"login", "acme", "-n", p.ns}, args...)...))
		cmd.Env = p.command().Env
		return p.run(cmd)
	}

	code, _, errOut := publish("am/m", "amf.tgz")
	p.Expect(code).To(gomega.Equal(1))
	p.Expect(errOut).To(gomega.ContainSubstring("name an account that may push with --service-account NAME"))
	p.Expect(errOut).To(gomega.ContainSubstring("you may not create tokenreviews"))
	code, _, errOut = publish("am/m", "amf.tgz", "--service-account", "other")
	p.Expect(code).To(gomega.Equal(1))
	p.Expect(errOut).To(gomega.ContainSubstring("You need the verb create on serviceaccounts/token"))
	p.Expect(errOut).To(gomega.ContainSubstring("nothing was pushed"))

	p.Eventually(func() string { // until the registry has the manifest in its cache
		_, _, errOut = publish("am/m", "--service-account", "ci")
		return errOut
	}).Should(gomega.ContainSubstring("1 of 1 artifacts are missing"))
	code, out, errOut := publish("am/m", "amf.tgz", "--service-account", "ci", "--registry-address", p.registry.Host)
	p.Expect(code).To(gomega.BeZero(), "%s%s", out, errOut)
	p.eventually(m, v1alpha1.ConditionUploaded, "True/Complete")

	code, _, errOut = login()
	p.Expect(code).To(gomega.Equal(1))
	p.Expect(errOut).To(gomega.ContainSubstring("Log in as a ServiceAccount with --service-account NAME"))
	ca := filepath.Join(p.home, "certs.d", "ca.crt")
	code, out, errOut = login("--service-account", "ci", "--duration", "20m", "--ca-file", ca)
	p.Expect(code).To(gomega.BeZero(), errOut)
	p.Expect(out).To(gomega.ContainSubstring("Logged in to " + p.registry.Host + " as system:serviceaccount:" + p.ns + ":ci until 20"))
	written, err := os.ReadFile(ca)
	p.Expect(err).NotTo(gomega.HaveOccurred())
	p.Expect(written).To(gomega.Equal(p.registry.CA))
	code, out, errOut = publish("am/m") // with the stored login
	p.Expect(code).To(gomega.BeZero(), "%s%s", out, errOut)
}

// A pipeline publishes with only the role nfo-publisher and the right to create tokens of its own account.
func TestARoleThatPublishes(t *testing.T) {
	t.Parallel()
	p := secureClusterScene(t).workplace()
	m := p.manifest("m", "amf:1.0.0")
	p.create(m)
	p.chart("amf.tgz", "amf", "1.0.0")
	robot := p.account("robot", rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"serviceaccounts/token"}, ResourceNames: []string{"robot"}, Verbs: []string{"create"}})
	p.create(&rbacv1.RoleBinding{
		ObjectMeta: p.meta("robot-publishes"), RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "nfo-publisher"},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: p.ns, Name: "robot"}},
	})
	p.Eventually(func() string { // until the registry has the manifest in its cache and the API server knows the RoleBinding
		code, out, errOut := p.run(as(robot, p.command("am/m", "amf.tgz", "--service-account", "robot", "--registry-address", p.registry.Host)))
		if code == 0 {
			return ""
		}
		return out + errOut
	}).Should(gomega.BeEmpty())
	p.eventually(m, v1alpha1.ConditionUploaded, "True/Complete")
}

// A user whose own token the API server accepts for the registry needs no other account.
func TestPublishToTheClustersRegistryAsYourself(t *testing.T) {
	t.Parallel()
	p := secureClusterScene(t).workplace()
	m := p.manifest("m", "amf:1.0.0")
	p.create(m)
	p.chart("amf.tgz", "amf", "1.0.0")
	kubeconfig := p.account("jill", rbacv1.PolicyRule{APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{"artifactmanifests", "artifactstores"}, Verbs: []string{"get", "push"}})
	reviewer := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: p.ns + "-reviews"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "system:auth-delegator"},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: p.ns, Name: "jill"}},
	}
	p.create(reviewer)
	t.Cleanup(func() { _ = env.Client.Delete(context.WithoutCancel(t.Context()), reviewer) }) // other tests must not see it

	account := &corev1.ServiceAccount{ObjectMeta: p.meta("jill")}
	token := &authenticationv1.TokenRequest{}
	p.Expect(env.Client.SubResource("token").Create(t.Context(), account, token)).To(gomega.Succeed())
	both := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: append(token.Spec.Audiences, v1alpha1.ClusterRegistryAudience)}}
	p.Expect(env.Client.SubResource("token").Create(t.Context(), account, both)).To(gomega.Succeed())
	config, err := clientcmd.LoadFromFile(kubeconfig)
	p.Expect(err).NotTo(gomega.HaveOccurred())
	publish := func() string {
		_, _, errOut := p.run(as(kubeconfig, p.command("am/m", "amf.tgz")))
		return errOut
	}
	p.Eventually(publish).Should(gomega.ContainSubstring("the API server does not accept your token for the audience nfo-registry"))
	for _, user := range config.AuthInfos {
		user.Token = both.Status.Token
	}
	p.Expect(clientcmd.WriteToFile(*config, kubeconfig)).To(gomega.Succeed())
	p.Eventually(publish).ShouldNot(gomega.ContainSubstring("error"))
	p.eventually(m, v1alpha1.ConditionUploaded, "True/Complete")
}

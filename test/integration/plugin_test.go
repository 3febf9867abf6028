package integration

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/test/environment"
	"github.com/nfo-operator/nfo/test/program"
)

// programs builds kubectl-nfo and nfo, once for all tests, and returns their folder.
var programs = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(filepath.Dir(env.Kubeconfig()), "programs")
	return dir, program.Build(dir, program.Racing, "kubectl-nfo", "nfo")
})

// pluginCommand returns a `kubectl nfo` command with an administrator's kubeconfig.
func (s *scene) pluginCommand(args ...string) *exec.Cmd {
	s.t.Helper()
	dir, err := programs()
	if err != nil {
		s.t.Fatal(err)
	}
	return exec.CommandContext(s.t.Context(), filepath.Join(dir, "kubectl-nfo"), append(args, "--kubeconfig", env.Kubeconfig(), "--cache-dir", filepath.Join(dir, "cache"))...)
}

// plugin runs `kubectl nfo` as an administrator.
func (s *scene) plugin(args ...string) (code int, out, errOut string) {
	s.t.Helper()
	return s.run(s.pluginCommand(args...))
}

// run runs a command and waits until it ends.
func (s *scene) run(cmd *exec.Cmd) (code int, out, errOut string) {
	s.t.Helper()
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return exit.ExitCode(), o.String(), e.String()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return 0, o.String(), e.String()
}

func TestImportApplies(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage(hooked)
	file := filepath.Join(environment.Root(), "internal/aosm/testdata/template-new.json")
	args := []string{"import", "-f", file, "-n", s.ns, "--parameters", "version=1.0.0", "--registry", "contoso-store=" + s.registry.URL("acme")}
	const applied = "artifactstore.nfo.dev/contoso-store serverside-applied%[1]s\nartifactmanifest.nfo.dev/upf-1-0-0 serverside-applied%[1]s\n" +
		"networkfunctiondefinitionversion.nfo.dev/upf-1.0.0 serverside-applied%[1]s\nnetworkservicedesignversion.nfo.dev/core-1.0.0 serverside-applied%[1]s\n"

	code, out, errOut := s.plugin(append(args, "--dry-run=server")...)
	s.Expect(code).To(gomega.Equal(3), errOut) // a configuration group schema has no counterpart
	s.Expect(out).To(gomega.Equal(fmt.Sprintf(applied, " (server dry run)")))
	var store v1alpha1.ArtifactStore
	s.Expect(s.gone(&v1alpha1.ArtifactStore{ObjectMeta: s.meta("contoso-store")})).To(gomega.BeTrue(), "a dry run stored something")

	code, out, errOut = s.plugin(args...)
	s.Expect(code).To(gomega.Equal(3), errOut)
	s.Expect(out).To(gomega.Equal(fmt.Sprintf(applied, "")))
	s.Expect(errOut).To(gomega.ContainSubstring("$.resources[5]: a configuration group schema has no counterpart"))

	s.Expect(env.Client.Get(t.Context(), client.ObjectKey{Namespace: s.ns, Name: "contoso-store"}, &store)).To(gomega.Succeed())
	s.Expect(store.Spec.Purge.GracePeriod.Duration).To(gomega.Equal(24*time.Hour), "the import does not decide how a store is purged")
	m := &v1alpha1.ArtifactManifest{ObjectMeta: s.meta("upf-1-0-0")}
	s.Eventually(func() string { return s.condition(m, v1alpha1.ConditionReferenced) }).Should(gomega.Equal("True/InUse"))
	nsdv := &v1alpha1.NetworkServiceDesignVersion{ObjectMeta: s.meta("core-1.0.0")}
	s.eventually(nsdv, v1alpha1.ConditionResolved, "True/Resolved")
	owners := map[string]bool{}
	for _, f := range nsdv.ManagedFields {
		owners[f.Manager] = true
	}
	s.Expect(owners).To(gomega.HaveKey("kubectl-nfo"))

	// A second import changes nothing.
	generation := nsdv.Generation
	code, _, errOut = s.plugin(args...)
	s.Expect(code).To(gomega.Equal(3), errOut)
	s.Expect(env.Client.Get(t.Context(), client.ObjectKeyFromObject(nsdv), nsdv)).To(gomega.Succeed())
	s.Expect(nsdv.Generation).To(gomega.Equal(generation))

	// An object of another publisher is not replaced, and neither is a field that another client has set.
	code, out, errOut = s.plugin(append(args, "--parameters", "publisherName=fabrikam")...)
	s.Expect(code).To(gomega.Equal(1), out)
	s.Expect(errOut).To(gomega.ContainSubstring("it is there already and stands for \"/providers/Microsoft.HybridNetwork/publishers/Contoso/artifactStores/contoso-store\""))
	change(s, nsdv, func(o *v1alpha1.NetworkServiceDesignVersion) {
		o.Spec.ResourceElementTemplates[0].Type = v1alpha1.ArmResourceDefinition
	})
	code, _, errOut = s.plugin(args...)
	s.Expect(code).To(gomega.Equal(1))
	s.Expect(errOut).To(gomega.ContainSubstring("--force-conflicts takes these fields over"))
	code, _, errOut = s.plugin(append(args, "--force-conflicts")...)
	s.Expect(code).To(gomega.Equal(3), errOut)
}

// reader creates a user who may only read this product's objects in the scene's namespace.
func (s *scene) reader() string {
	s.t.Helper()
	user := "reader-of-" + s.ns
	role := &rbacv1.Role{ObjectMeta: s.meta("reader"), Rules: []rbacv1.PolicyRule{{APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{"*"}, Verbs: []string{"get", "list"}}}}
	binding := &rbacv1.RoleBinding{ObjectMeta: s.meta("reader"), RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "reader"},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}}}
	s.create(role, binding)
	return user
}

func TestWhy(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage(hooked)
	abroad := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "edge-"}}
	s.create(abroad)
	sns := s.site("edge-1", s.ns, "nsdv")
	sns.Namespace = abroad.Name
	m := s.manifest("m", "a:1")
	nfdv, nsdv := s.definition("nfdv", "m", "a"), s.design("nsdv", "m", "a:1", "nfdv")
	d := s.image("m", "a:1", "one")
	s.create(s.store("acme"), m, nfdv, nsdv, sns)
	s.eventually(m, v1alpha1.ConditionReady, "True/Ready")

	// A user without the right to read other namespaces learns what the answer does not include.
	code, out, errOut := s.plugin("why", "am/m", "-n", s.ns, "--as", s.reader())
	s.Expect(code).To(gomega.BeZero(), errOut)
	s.Expect(out).To(gomega.ContainSubstring("networkservicedesignversions/" + s.ns + "/nsdv"))
	s.Expect(out).To(gomega.ContainSubstring("Deleting it is refused"))
	s.Expect(out).To(gomega.ContainSubstring("Incomplete: sitenetworkservices of other namespaces"))

	image := s.registry.Host + "/" + repository("m", "a")
	var answer struct {
		Kept     bool
		Roots    []string
		Released []struct {
			Tombstone, State string
			RestorableUntil  time.Time
		}
	}
	why := func(args ...string) {
		code, out, errOut = s.plugin(append([]string{"why", "-o", "json"}, args...)...)
		s.Expect(code).To(gomega.BeZero(), errOut)
		answer.Kept, answer.Roots, answer.Released = false, nil, nil
		s.Expect(json.Unmarshal([]byte(out), &answer)).To(gomega.Succeed(), out)
	}
	for _, subject := range [][]string{{"artifactmanifests.nfo.dev/m", "-n", s.ns}, {image + ":1"}, {image + "@" + d.Digest.String()}, {"nfdv/nfdv", "-n", s.ns}} {
		why(subject...)
		s.Expect(answer.Kept).To(gomega.BeTrue(), out)
		s.Expect(answer.Roots).To(gomega.Equal([]string{"sitenetworkservices/" + abroad.Name + "/edge-1"}), out)
	}

	s.delete(sns)
	s.goes(sns)
	s.delete(nsdv)
	s.goes(nsdv)
	s.delete(nfdv)
	s.goes(nfdv)
	code, out, errOut = s.plugin("why", "am/m", "-n", s.ns)
	s.Expect(code).To(gomega.BeZero(), errOut)
	s.Expect(out).To(gomega.ContainSubstring("Nothing keeps it: deleting is allowed; if it is deleted now, it can be restored until "))
	s.delete(m)
	s.goes(m)
	why(image + ":1")
	s.Expect(answer.Kept).To(gomega.BeFalse(), out)
	s.Expect(answer.Released).To(gomega.HaveLen(1), out)
	s.Expect(answer.Released[0].State).To(gomega.Equal("Untagged"))
	s.Expect(time.Until(answer.Released[0].RestorableUntil)).To(gomega.BeNumerically("~", time.Hour, 5*time.Minute))
	why("am/m", "-n", s.ns)
	s.Expect(answer.Released).To(gomega.HaveLen(1), out)

	code, _, errOut = s.plugin("why", "am/nobody", "-n", s.ns)
	s.Expect(code).To(gomega.Equal(1))
	s.Expect(errOut).To(gomega.ContainSubstring("does not exist"))
	code, _, errOut = s.plugin("why", "pods/x", "-n", s.ns)
	s.Expect(code).To(gomega.Equal(2))
	s.Expect(errOut).To(gomega.ContainSubstring("not one of as, am, nfdv, nsdv, sns, ts and art"))
	code, out, _ = s.plugin("why", "elsewhere.example.com/a:1")
	s.Expect(code).To(gomega.BeZero())
	s.Expect(strings.ToLower(out)).To(gomega.ContainSubstring("nothing here deletes it"))
}

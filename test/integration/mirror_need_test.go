package integration

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/place"
	"github.com/nfo-operator/nfo/internal/purge"
	"github.com/nfo-operator/nfo/internal/purge/plan"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
	"github.com/nfo-operator/nfo/test/environment"
)

// readsImages grants the manager and the purge of the scene's mirror what the chart grants with mirror.enabled.
func (s *scene) readsImages() {
	s.t.Helper()
	manager := rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: environment.ManagerUser}
	purger := rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: s.ns, Name: "mirror-purge"}
	for role, subjects := range map[string][]rbacv1.Subject{"nfo-workloads": {manager, purger}, "nfo-workloads-scope": {manager, purger}, "nfo-mirror-purger": {purger}} {
		o := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: s.ns + "-" + role}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role}, Subjects: subjects}
		s.create(o)
		s.t.Cleanup(func() { // the test's context has ended
			if err := env.Client.Delete(context.WithoutCancel(s.t.Context()), o); err != nil {
				s.t.Error(err)
			}
		})
	}
}

// purgeMirror runs `nfo purge` for the scene's mirror, with a token of the purge's account.
func (s *scene) purgeMirror() (purge.Report, error) {
	s.t.Helper()
	cfg, err := env.PurgeOf(client.ObjectKey{Namespace: s.ns, Name: v1alpha1.MirrorName}, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	cfg.SecondLook, cfg.RegistryToken = time.Second, s.token(s.ns, "mirror-purge")
	return purge.Run(s.t.Context(), cfg)
}

// The manager creates the Artifacts of the images that workloads use. The mirror's own
// purge, with only its account's rights, removes those that no workload uses any more.
// The cluster has only one mirror, so the test does not run in parallel with others.
func TestTheMirrorHasWhatWorkloadsNeed(t *testing.T) {
	s := newClusterScene(t)
	ran := s.neighbour()
	s.readsImages()
	const image, old = "r.example/acme/upf:1", "r.example/acme/old:1"
	web := ran.deployment("web", image)
	s.create(web)
	places, err := place.Parse(fmt.Appendf(nil, "places: [{registry: %s/%s, namespaces: [%s]}]", v1alpha1.ClusterRegistryHost, v1alpha1.MirrorPrefix, s.ns))
	s.Expect(err).NotTo(gomega.HaveOccurred())
	s.manage(scheduled, func(o *environment.ManagerOptions) {
		o.Namespace, o.Namespaces, o.Places = s.ns, []string{s.ns, ran.ns}, places
		o.Cluster = registry.ClusterRegistry{Address: s.registry.URL(""), TokenFile: s.token(v1alpha1.ManagerNamespace, v1alpha1.ManagerName)}
	})
	st := s.store(v1alpha1.MirrorName, noGrace, inCluster(v1alpha1.MirrorPrefix), func(st *v1alpha1.ArtifactStore) {
		st.Spec.Mirror = &v1alpha1.MirrorSpec{Images: v1alpha1.MirrorAll, RefreshPeriod: metav1.Duration{Duration: 10 * time.Minute}, NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": ran.ns}}}
	})
	s.create(st)
	s.eventually(st, v1alpha1.ConditionReady, "True/Ready")
	key := client.ObjectKey{Namespace: ran.ns, Name: v1alpha1.ArtifactName(image)}
	var a v1alpha1.Artifact
	s.Eventually(func() (v1alpha1.MirrorStatus, error) {
		err := env.Client.Get(t.Context(), key, &a)
		return a.Status, err
	}).Should(gomega.And(gomega.HaveField("UserCount", int32(1)), gomega.HaveField("UnusedSince", gomega.BeNil())), "back-filled, with its user")
	s.Expect(a.Status.Users).To(gomega.Equal([]v1alpha1.ArtifactUser{{Kind: "Deployment", Name: "web", Detail: "container web"}}))

	unused := &v1alpha1.Artifact{ObjectMeta: ran.meta(v1alpha1.ArtifactName(old)), Spec: v1alpha1.ArtifactSpec{SourceArtifact: old}}
	s.create(unused)
	for name, o := range map[string]*v1alpha1.Artifact{"upf": &a, "old": unused} {
		desc, err := registrytest.PushImage(t.Context(), s.inside.Host, v1alpha1.MirrorPrefix+"/r.example/acme/"+name, "1", name)
		s.Expect(err).NotTo(gomega.HaveOccurred())
		s.Eventually(func() error {
			if err := env.Client.Get(t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
				return err
			}
			// Otherwise the manager would overwrite this status after its first attempt.
			if o.Status.State != v1alpha1.MirrorFailed {
				return errors.New("the manager has not tried to copy it yet")
			}
			o.Status.State, o.Status.Digest = v1alpha1.MirrorPresent, desc.Digest.String()
			if name == "old" {
				o.Status.UnusedSince = new(metav1.NewTime(time.Now().Add(-time.Hour)))
			}
			return env.Client.Status().Update(t.Context(), o)
		}).Should(gomega.Succeed())
	}
	s.Eventually(func() error { _, err := s.purgeMirror(); return err }).Should(gomega.Succeed())
	s.Expect(client.IgnoreNotFound(env.Client.Get(t.Context(), client.ObjectKeyFromObject(unused), unused))).To(gomega.Succeed())
	s.Expect(env.Client.Get(t.Context(), client.ObjectKeyFromObject(unused), unused)).NotTo(gomega.Succeed(), "its Artifact has gone")
	s.Expect(env.Client.Get(t.Context(), key, &a)).To(gomega.Succeed())
	s.Expect(a.Status.State).To(gomega.Equal(v1alpha1.MirrorPresent))
	inMirror, err := registry.Open(registry.Config{Location: s.registry.Location(v1alpha1.MirrorPrefix), TokenFile: s.token(v1alpha1.ManagerNamespace, v1alpha1.ManagerName)})
	s.Expect(err).NotTo(gomega.HaveOccurred())
	defer inMirror.Close()
	_, err = inMirror.Resolve(t.Context(), v1alpha1.MirrorPrefix+"/r.example/acme/old", unused.Status.Digest)
	s.Expect(err).To(gomega.MatchError(registry.ErrNotFound), "and its copy")
	_, err = inMirror.Resolve(t.Context(), v1alpha1.MirrorPrefix+"/r.example/acme/upf", "1")
	s.Expect(err).NotTo(gomega.HaveOccurred())

	s.delete(web)
	report, err := s.purgeMirror()
	s.Expect(err).NotTo(gomega.HaveOccurred())
	s.Expect(report.Kept).To(gomega.HaveKeyWithValue(plan.GracePeriod, 1), "the manager has not recorded yet that nothing uses it")
}

package integration

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/purge"
	"github.com/nfo-operator/nfo/internal/purge/plan"
	"github.com/nfo-operator/nfo/test/environment"
)

// running returns a store that counts the workloads in the scene's namespace.
func (s *scene) running(sources ...v1alpha1.WorkloadSource) *v1alpha1.ArtifactStore {
	return s.store("acme", func(st *v1alpha1.ArtifactStore) {
		st.Spec.Purge.GracePeriod.Duration = 0
		st.Spec.Workloads = &v1alpha1.WorkloadsSpec{
			NamespaceSelector: metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": s.ns}}, Sources: sources,
		}
	})
}

// reads lets the manager and the purge of the store "acme" read the workloads in the scene's namespace.
func (s *scene) reads(roles ...string) {
	s.t.Helper()
	for _, role := range roles {
		s.create(&rbacv1.RoleBinding{
			ObjectMeta: s.meta(role), RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
			Subjects: []rbacv1.Subject{
				{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: environment.ManagerUser},
				{Kind: rbacv1.ServiceAccountKind, Namespace: s.ns, Name: "acme-purge"},
			},
		})
	}
}

func podSpec(image string) corev1.PodSpec {
	return corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: image}}}
}

func (s *scene) deployment(name, image string) *appsv1.Deployment {
	labels := map[string]string{"app": name}
	return &appsv1.Deployment{ObjectMeta: s.meta(name), Spec: appsv1.DeploymentSpec{
		Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: podSpec(image)},
	}}
}

func (s *scene) cronJob(name, image string) *batchv1.CronJob {
	o := &batchv1.CronJob{ObjectMeta: s.meta(name)}
	o.Spec.Schedule = "0 0 1 1 *"
	o.Spec.JobTemplate.Spec.Template.Spec = podSpec(image)
	o.Spec.JobTemplate.Spec.Template.Spec.RestartPolicy = corev1.RestartPolicyNever
	return o
}

// pod returns a pod that no node will run.
func (s *scene) pod(name, image string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: s.meta(name), Spec: podSpec(image)}
}

// pulled returns the reference with which a node pulls an artifact, name:version, of a manifest.
func (s *scene) pulled(manifest, artifact string) string {
	return s.registry.Host + "/acme/" + manifest + "/" + artifact
}

func TestI14WhatRunsHolds(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.reads("nfo-workloads")
	m, cold := s.manifest("cnf", "nginx:1.0.0"), s.manifest("cold", "batch:1.0.0")
	d := s.image("cnf", "nginx:1.0.0", "one").Digest.String()
	s.image("cold", "batch:1.0.0", "two")
	web := s.deployment("web", s.pulled("cnf", "nginx:1.0.0"))
	st, cron := s.running(v1alpha1.WorkloadPods, v1alpha1.WorkloadControllers), s.cronJob("yearly", s.pulled("cold", "batch:1.0.0"))
	s.create(web, cron, st, m, cold)
	s.manage(func(o *environment.ManagerOptions) { o.Webhooks = true; o.PurgerImage = purgerImage })
	s.eventually(m, v1alpha1.ConditionReferenced, "True/InUse")
	s.eventually(cold, v1alpha1.ConditionReferenced, "True/InUse")
	s.Expect(m.Status.Dependents.Dependents).To(gomega.Equal([]v1alpha1.Dependent{{Kind: "Deployment", Namespace: s.ns, Name: "web", Artifacts: []string{"nginx:1.0.0"}}}))
	s.Eventually(func() []v1alpha1.WorkloadSourceStatus {
		s.find(st, v1alpha1.ConditionReady)
		if st.Status.Workloads == nil {
			return nil
		}
		return st.Status.Workloads.Sources
	}).Should(gomega.ConsistOf(
		gomega.And(gomega.HaveField("Name", v1alpha1.WorkloadPods), gomega.HaveField("State", v1alpha1.WorkloadsRead)),
		gomega.And(gomega.HaveField("Name", v1alpha1.WorkloadControllers), gomega.HaveField("State", v1alpha1.WorkloadsRead), gomega.HaveField("Uses", gomega.BeNumerically(">=", 2))),
	))

	// If reading takes longer than an admission may, the deletion is refused
	// on the basis of the status, without the artifact and container.
	s.Eventually(func() error { return env.Client.Delete(t.Context(), m) }).Should(gomega.MatchError(gomega.ContainSubstring(`"deployments/` + s.ns + `/web" (artifact nginx:1.0.0, container web)`)))
	change(s, web, func(o *appsv1.Deployment) { o.Spec.Replicas = new(int32(0)) })
	s.Expect(env.Client.Delete(t.Context(), m)).NotTo(gomega.Succeed(), "scaled to zero it can be scaled up again")
	s.Expect(env.Client.Delete(t.Context(), cold)).To(gomega.MatchError(gomega.ContainSubstring(`"cronjobs/` + s.ns + `/yearly"`)))

	s.delete(web)
	late := s.deployment("late", s.pulled("cnf", "nginx:1.0.0"))
	s.create(late)
	// If reading takes longer than an admission may, the previous
	// reading refuses the deletion too, because of what ran then.
	s.Eventually(func() error { return env.Client.Delete(t.Context(), m) }).Should(gomega.MatchError(gomega.ContainSubstring(`"deployments/`+s.ns+`/late"`)), "it came after the last reading")
	s.delete(late)
	s.Eventually(func() error { return env.Client.Delete(t.Context(), m) }).Should(gomega.Succeed(), "what the Deployment made goes a moment later")
	s.goes(m)
	s.Expect(s.at("acme/cnf/nginx", "1.0.0")).To(gomega.BeEmpty())

	// The Deployment cannot have pulled the image by this tag, but could if the tag were restored.
	again := s.deployment("again", s.pulled("cnf", "nginx:1.0.0"))
	s.create(again)
	report, err := s.purge(t.Context(), false, nil)
	s.Expect(err).NotTo(gomega.HaveOccurred())
	s.Expect(report.Verdicts).To(gomega.HaveLen(1))
	s.Expect(report.Verdicts[0].Delete).To(gomega.BeFalse())
	s.Expect(report.Verdicts[0].Reason).To(gomega.Equal(plan.InUse))
	s.Expect(report.Verdicts[0].Message).To(gomega.Equal("deployments/" + s.ns + "/again uses it (container web)"))
	s.Expect(s.at("acme/cnf/nginx", d)).To(gomega.Equal(d))
	s.delete(again)
	s.Eventually(func() string {
		_, err = s.purge(t.Context(), false, nil)
		s.Expect(err).NotTo(gomega.HaveOccurred())
		return s.at("acme/cnf/nginx", d)
	}).Should(gomega.BeEmpty(), "what the Deployment made goes a moment later")
}

// A node pulls from the mirror under another name. The image that it has pulled still counts for the store's source.
func TestI14WhatRunsFromTheMirrorHolds(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.reads("nfo-workloads")
	m := s.manifest("cnf", "nginx:1.0.0")
	d := s.image("cnf", "nginx:1.0.0", "one").Digest.String()
	copied := "127.0.0.1:7439/" + strings.Replace(s.pulled("cnf", "nginx"), ":", "_", 1)
	pod := s.pod("web", copied+":1.0.0")
	s.create(s.running(v1alpha1.WorkloadPods), m, pod)
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "web", Image: copied + ":1.0.0", ImageID: copied + "@" + d}}
	s.Expect(env.Client.Status().Update(t.Context(), pod)).To(gomega.Succeed())
	s.manage(func(o *environment.ManagerOptions) { o.PurgerImage = purgerImage })
	s.eventually(m, v1alpha1.ConditionUploaded, "True/Complete")
	s.image("cnf", "nginx:1.0.0", "two")
	change(s, m, func(m *v1alpha1.ArtifactManifest) {
		m.Annotations = map[string]string{v1alpha1.AnnotationReconcileNow: "1"}
	})
	s.Eventually(s.tombstones).Should(gomega.HaveLen(1))
	report, err := s.purge(t.Context(), false, nil)
	s.Expect(err).NotTo(gomega.HaveOccurred())
	s.Expect(report.Verdicts).To(gomega.ConsistOf(gomega.And(gomega.HaveField("Delete", false), gomega.HaveField("Reason", plan.InUse))))
	s.Expect(s.at("acme/cnf/nginx", d)).To(gomega.Equal(d))
	s.Expect(env.Client.Delete(t.Context(), pod, client.GracePeriodSeconds(0))).To(gomega.Succeed())
	_, err = s.purge(t.Context(), false, nil)
	s.Expect(err).NotTo(gomega.HaveOccurred())
	s.Expect(s.at("acme/cnf/nginx", d)).To(gomega.BeEmpty())
}

// Without a refusal by the webhook, the finalizer waits, and the manager reads the workloads again without further action.
func TestI14ADeletionWaitsForWhatRuns(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.reads("nfo-workloads")
	m, web := s.manifest("cnf", "nginx:1.0.0"), s.deployment("web", s.pulled("cnf", "nginx:1.0.0"))
	d := s.image("cnf", "nginx:1.0.0", "one").Digest.String()
	s.create(s.running(), m)
	s.manage()
	s.eventually(m, v1alpha1.ConditionUploaded, "True/Complete")
	s.create(web) // after the last reading
	s.delete(m)
	s.says(m, v1alpha1.ConditionDeletionBlocked, "True/InUse", `"deployments/`+s.ns+`/web" (artifact nginx:1.0.0, container web)`)
	s.Expect(s.at("acme/cnf/nginx", "1.0.0")).To(gomega.Equal(d))
	s.Expect(s.tombstones()).To(gomega.BeEmpty())
	s.delete(web)
	s.goes(m)
}

func TestI2WorkloadsThatCannotBeReadKeep(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	m := s.manifest("cnf", "nginx:1.0.0")
	d := s.image("cnf", "nginx:1.0.0", "one").Digest.String()
	st := s.running()
	s.create(st, m)
	s.manage(func(o *environment.ManagerOptions) { o.PurgerImage = purgerImage })
	s.eventually(m, v1alpha1.ConditionUploaded, "True/Complete")
	s.delete(m)
	missing := `cannot list resource "deployments" in API group "apps" in the namespace "` + s.ns + `"`
	s.says(m, v1alpha1.ConditionDeletionBlocked, "True/"+v1alpha1.ReasonWorkloadsUnreadable, "may be in use", missing, "ClusterRole nfo-workloads")
	s.says(st, v1alpha1.ConditionPurgeHealthy, "False/"+v1alpha1.ReasonWorkloadsUnreadable, missing)
	_, err := s.purge(t.Context(), false, nil)
	s.Expect(errors.Is(err, purge.ErrRefused)).To(gomega.BeTrue(), "%v", err)
	s.Expect(err).To(gomega.MatchError(gomega.ContainSubstring(`cannot list resource "pods" in API group "" in the namespace "`+s.ns+`"`)), "its account has fewer rights than the manager")
	s.Expect(s.at("acme/cnf/nginx", "1.0.0")).To(gomega.Equal(d))

	s.reads("nfo-workloads")
	s.Eventually(func() bool { return s.gone(m) }).WithTimeout(2*time.Minute).Should(gomega.BeTrue(), "nfo looks again every minute")
}

// custom creates a CustomResourceDefinition of another product for a test,
// with the real group, version and kind, and a schema that accepts any fields.
func (s *scene) custom(plural, kind, group, version string) client.Object {
	s.t.Helper()
	anything := "{type: object, x-kubernetes-preserve-unknown-fields: true}"
	o := &unstructured.Unstructured{}
	s.Expect(yaml.Unmarshal(fmt.Appendf(nil, `{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: %[1]s.%[3]s},
  spec: {group: %[3]s, scope: Namespaced, names: {plural: %[1]s, singular: %[5]s, kind: %[2]s, listKind: %[2]sList},
    versions: [{name: %[4]s, served: true, storage: true, schema: {openAPIV3Schema: {type: object, properties: {spec: %[6]s, status: %[6]s}}}}]}}`,
		plural, kind, group, version, strings.ToLower(kind), anything), &o.Object)).To(gomega.Succeed())
	s.create(o)
	s.t.Cleanup(func() {
		_ = env.Client.Delete(context.WithoutCancel(s.t.Context()), o) // the test may have deleted it
	})
	return o
}

// flux creates the definitions of Flux.
func (s *scene) flux() []client.Object {
	s.t.Helper()
	return []client.Object{
		s.custom("helmreleases", "HelmRelease", "helm.toolkit.fluxcd.io", "v2"), s.custom("ocirepositories", "OCIRepository", "source.toolkit.fluxcd.io", "v1"),
		s.custom("helmcharts", "HelmChart", "source.toolkit.fluxcd.io", "v1"),
	}
}

// object creates an object of such a kind, once the API server serves it.
func (s *scene) object(text string) *unstructured.Unstructured {
	s.t.Helper()
	o := &unstructured.Unstructured{}
	s.Expect(yaml.Unmarshal([]byte(text), &o.Object)).To(gomega.Succeed())
	o.SetNamespace(s.ns)
	s.Eventually(func() error { return env.Client.Create(s.t.Context(), o) }).Should(gomega.Succeed())
	return o
}

// watches lets the manager list and watch resources in all namespaces.
func (s *scene) watches(resources ...string) {
	s.t.Helper()
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: s.ns}}
	for _, one := range resources {
		resource, group, _ := strings.Cut(one, ".")
		role.Rules = append(role.Rules, rbacv1.PolicyRule{APIGroups: []string{group}, Resources: []string{resource}, Verbs: []string{"list", "watch"}})
	}
	s.create(role, &rbacv1.ClusterRoleBinding{
		ObjectMeta: role.ObjectMeta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: environment.ManagerUser}},
	})
}

// state returns how a source was read last.
func (s *scene) state(st *v1alpha1.ArtifactStore, source v1alpha1.WorkloadSource) v1alpha1.WorkloadSourceState {
	s.find(st, v1alpha1.ConditionReady)
	if st.Status.Workloads == nil {
		return ""
	}
	for _, one := range st.Status.Workloads.Sources {
		if one.Name == source {
			return one.State
		}
	}
	return ""
}

// A source that is not installed holds nothing, an installed one does, and one that was removed may come back.
func TestI14WhatFluxAndArgoCDDeployHolds(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.reads("nfo-workloads")
	s.watches("helmreleases.helm.toolkit.fluxcd.io", "applications.argoproj.io")
	upf, smf, amf := s.manifest("upf", "chart:1.0.0", "image:1.0.0"), s.manifest("smf", "smf:2.0.0"), s.manifest("amf", "amf:1.0.0")
	d := s.image("upf", "chart:1.0.0", "chart").Digest.String()
	s.image("upf", "image:1.0.0", "image")
	s.image("smf", "smf:2.0.0", "smf")
	s.image("amf", "amf:1.0.0", "amf")
	st := s.running(v1alpha1.WorkloadFlux, v1alpha1.WorkloadArgoCD)
	s.create(st, upf, smf, amf)
	s.manage()
	for _, m := range []*v1alpha1.ArtifactManifest{upf, smf, amf} {
		s.eventually(m, v1alpha1.ConditionUploaded, "True/Complete")
	}
	s.Eventually(func() v1alpha1.WorkloadSourceState { return s.state(st, v1alpha1.WorkloadFlux) }).Should(gomega.Equal(v1alpha1.WorkloadsNotInstalled))
	s.Expect(s.state(st, v1alpha1.WorkloadArgoCD)).To(gomega.Equal(v1alpha1.WorkloadsNotInstalled))

	flux := s.flux()
	s.custom("applications", "Application", "argoproj.io", "v1alpha1")
	release := s.object(`{apiVersion: helm.toolkit.fluxcd.io/v2, kind: HelmRelease, metadata: {name: upf}, spec: {chartRef: {kind: OCIRepository, name: upf}},
  status: {history: [{version: 2, chartName: upf, chartVersion: 1.1.0, ociDigest: "sha256:` + strings.Repeat("0", 64) + `"}, {version: 1, chartName: upf, chartVersion: 1.0.0, ociDigest: "` + d + `"}]}}`)
	app := s.object(`{apiVersion: argoproj.io/v1alpha1, kind: Application, metadata: {name: smf}, spec: {source: {repoURL: ` + s.registry.Host + `/acme/smf, chart: smf, targetRevision: 2.x}}, status: {sync: {revision: 2.0.0}}}`)
	// So that the workloads are read again.
	change(s, st, func(o *v1alpha1.ArtifactStore) { o.Spec.Workloads.RegistryAliases = []string{"mirror.example/acme"} })
	s.Eventually(func() v1alpha1.WorkloadSourceState { return s.state(st, v1alpha1.WorkloadFlux) }).Should(gomega.Equal(v1alpha1.WorkloadsRead))
	s.delete(upf, smf)
	s.says(upf, v1alpha1.ConditionDeletionBlocked, "True/InUse", `"helmrelease.helm.toolkit.fluxcd.io/`+s.ns+`/upf"`, "artifact chart:1.0.0", "revision 1")
	s.says(smf, v1alpha1.ConditionDeletionBlocked, "True/InUse", `"application.argoproj.io/`+s.ns+`/smf"`, "artifact smf:2.0.0")
	s.Expect(s.at("acme/upf/image", "1.0.0")).NotTo(gomega.BeEmpty(), "the image of a chart that may be rolled back to")
	s.delete(release, app)
	s.goes(upf, smf)

	s.delete(flux...)
	s.goes(flux...)
	s.delete(amf)
	s.says(amf, v1alpha1.ConditionDeletionBlocked, "True/"+v1alpha1.ReasonWorkloadsUnreadable, "Flux", "it was read before")

	// Created again and empty, the kinds do not show what a GitOps tool is about to apply.
	again := s.flux()
	change(s, st, func(o *v1alpha1.ArtifactStore) {
		o.Annotations = map[string]string{v1alpha1.AnnotationReconcileNow: "1"}
	})
	s.Eventually(func() *metav1.Condition { return s.find(amf, v1alpha1.ConditionDeletionBlocked) }).Should(gomega.HaveField("Message", gomega.ContainSubstring("was created anew")))
	s.Expect(s.at("acme/amf/amf", "1.0.0")).NotTo(gomega.BeEmpty())
	for _, o := range again {
		change(s, o, func(o client.Object) { o.SetAnnotations(map[string]string{v1alpha1.AnnotationObjectsRestored: ""}) })
	}
	change(s, st, func(o *v1alpha1.ArtifactStore) {
		o.Annotations = map[string]string{v1alpha1.AnnotationReconcileNow: "2"}
	})
	s.goes(amf)
}

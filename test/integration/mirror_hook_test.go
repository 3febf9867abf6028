package integration

import (
	"fmt"
	"testing"
	"time"

	"github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/place"
	"github.com/nfo-operator/nfo/internal/purge"
	"github.com/nfo-operator/nfo/internal/purge/plan"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
	"github.com/nfo-operator/nfo/internal/rewrite"
	"github.com/nfo-operator/nfo/test/environment"
)

// Helm deletes the pods and Secrets of a release before it runs the Jobs of its delete hooks. An
// image that was copied with such a Secret stays in the mirror, even if the manager restarts and
// a purge runs. The hook's pod, which references the deleted Secret, pulls the image from the
// mirror. The cluster has only one mirror, so the test does not run in parallel with others.
func TestADeleteHookPullsWhatItsReleaseCouldRead(t *testing.T) { //nolint:paralleltest // see above
	dir := t.TempDir()
	source := registrytest.Start(t, registrytest.InDir(dir), registrytest.BasicAuth("puller", "secret of the source"))
	inside := registrytest.Start(t, registrytest.InDir(dir))
	s := newClusterScene(t)
	ran, publisher := s.neighbour(), s.neighbour()
	s.readsImages()
	_, err := registrytest.PushImage(t.Context(), inside.Host, "acme/upf", "1", "hook")
	s.Expect(err).NotTo(gomega.HaveOccurred())
	login := func(s *scene, name string) *corev1.Secret {
		return &corev1.Secret{ObjectMeta: s.meta(name), Type: corev1.SecretTypeDockerConfigJson, StringData: map[string]string{
			corev1.DockerConfigJsonKey: `{"auths":{"` + source.Host + `":{"username":"puller","password":"secret of the source"}}}`,
		}}
	}
	known := publisher.store("acme", func(st *v1alpha1.ArtifactStore) {
		st.Spec.Registry = v1alpha1.RegistrySpec{URL: source.URL("acme"), CredentialsSecretRef: &v1alpha1.LocalReference{Name: "own"}}
	})
	mirror := s.store(v1alpha1.MirrorName, inCluster(v1alpha1.MirrorPrefix), func(st *v1alpha1.ArtifactStore) {
		st.Spec.Mirror = &v1alpha1.MirrorSpec{Images: v1alpha1.MirrorKnownStores, PullAddress: pullAddress, RefreshPeriod: metav1.Duration{Duration: time.Minute}}
	})
	image := source.Host + "/acme/upf:1"
	pod, pull := ran.pod("upf", image), login(ran, "pull")
	pod.Spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "pull"}}
	s.create(login(publisher, "own"), known, mirror, pull, pod)
	places, err := place.Parse(fmt.Appendf(nil, "places: [{registry: %s/%s, namespaces: [%s]}]", v1alpha1.ClusterRegistryHost, v1alpha1.MirrorPrefix, s.ns))
	s.Expect(err).NotTo(gomega.HaveOccurred())
	token := s.token(v1alpha1.ManagerNamespace, v1alpha1.ManagerName)
	options := func(o *environment.ManagerOptions) {
		o.Namespace, o.Namespaces, o.Places = s.ns, []string{s.ns, ran.ns, publisher.ns}, places
		o.Cluster = registry.ClusterRegistry{Address: s.registry.URL(""), TokenFile: token}
	}
	manager := s.manage(scheduled, options)
	a := ran.artifactOf(image)
	s.Eventually(mirrorState(a)).WithContext(t.Context()).Should(gomega.Equal("Present True/Present"))
	s.Expect(a.Status.CredentialsSecretRef).To(gomega.Equal(&v1alpha1.LocalReference{Name: "pull"}))

	s.Expect(env.Client.Delete(t.Context(), pod, client.GracePeriodSeconds(0))).To(gomega.Succeed())
	s.delete(pull)
	s.goes(pod, pull)
	manager.Stop() // the restarted manager no longer knows which login worked
	s.manage(scheduled, options, func(o *environment.ManagerOptions) { o.Webhooks = true })
	s.Eventually(func() string {
		if c := s.find(a, v1alpha1.ConditionReady); c != nil && a.Status.UnusedSince != nil {
			return c.Message
		}
		return ""
	}).Should(gomega.ContainSubstring("The source cannot be read"), "and nothing uses it")
	s.Expect(a.Status.State).To(gomega.Equal(v1alpha1.MirrorPresent))
	var report purge.Report
	s.Eventually(func() (err error) {
		report, err = s.purgeMirror()
		return err
	}).Should(gomega.Succeed())
	s.Expect(report.Kept).To(gomega.HaveKeyWithValue(plan.GracePeriod, 1))

	hook := &batchv1.Job{ObjectMeta: ran.meta("cleanup")}
	hook.Spec.Template.Spec = podSpec(image)
	hook.Spec.Template.Spec.RestartPolicy = corev1.RestartPolicyNever
	hook.Spec.Template.Spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "pull"}}
	s.create(hook)
	var pods corev1.PodList
	s.Eventually(func() ([]corev1.Pod, error) {
		err := env.Client.List(t.Context(), &pods, client.InNamespace(ran.ns), client.MatchingLabels{batchv1.JobNameLabel: hook.Name})
		return pods.Items, err
	}).Should(gomega.HaveLen(1))
	at, fromMirror := rewrite.Original(pods.Items[0].Spec.Containers[0].Image, pullAddress)
	s.Expect(fromMirror).To(gomega.BeTrue(), "the hook pulls %s", pods.Items[0].Spec.Containers[0].Image)
	inMirror, err := registry.Open(registry.Config{Location: s.registry.Location(v1alpha1.MirrorPrefix), TokenFile: token})
	s.Expect(err).NotTo(gomega.HaveOccurred())
	defer inMirror.Close()
	d, err := inMirror.Resolve(t.Context(), at.MirrorRepository(), at.Reference())
	s.Expect(err).NotTo(gomega.HaveOccurred())
	s.Expect(d.Digest.String()).To(gomega.Equal(a.Status.Digest))
}

package integration

import (
	"errors"
	"testing"
	"time"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/rewrite"
	"github.com/nfo-operator/nfo/test/environment"
)

const (
	// pullAddress is where nodes would reach the mirror. These tests have no nodes and no agent.
	pullAddress = "127.0.0.1:30500/" + v1alpha1.MirrorPrefix
	anImage     = "registry.example.com:5000/acme/upf:1.0.0"
	mirrored    = pullAddress + "/registry.example.com_5000/acme/upf:1.0.0"
	aDigest     = "@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
)

// mirrorScene has a namespace of workloads, and one of an operator with a mirror.
type mirrorScene struct {
	*scene
	operator string
	mirror   *v1alpha1.ArtifactStore
	manager  *environment.Manager
}

func newMirrorScene(t *testing.T, change ...func(*v1alpha1.MirrorSpec)) *mirrorScene {
	t.Helper()
	s := &mirrorScene{scene: newScene(t)}
	s.operator = s.neighbour().ns
	s.mirror = &v1alpha1.ArtifactStore{ObjectMeta: metav1.ObjectMeta{Namespace: s.operator, Name: v1alpha1.MirrorName}}
	s.mirror.Spec.Registry.ClusterRegistry = &v1alpha1.ClusterRegistrySpec{Prefix: v1alpha1.MirrorPrefix}
	s.mirror.Spec.Mirror = &v1alpha1.MirrorSpec{Images: v1alpha1.MirrorAll, PullAddress: pullAddress, RefreshPeriod: metav1.Duration{Duration: time.Hour}}
	for _, c := range change {
		c(s.mirror.Spec.Mirror)
	}
	s.create(s.mirror)
	s.manager = env.StartManager(t, environment.ManagerOptions{Namespaces: []string{s.ns, s.operator}, Namespace: s.operator, Webhooks: true})
	return s
}

// has makes an Artifact with the given state for an image in the scene's namespace.
func (s *mirrorScene) has(image string, state v1alpha1.MirrorState) *v1alpha1.Artifact {
	s.t.Helper()
	i, err := rewrite.Parse(image)
	if err != nil {
		s.t.Fatal(err)
	}
	a := &v1alpha1.Artifact{ObjectMeta: s.meta(v1alpha1.ArtifactName(i.String()))}
	a.Spec.SourceArtifact = i.String()
	if err := client.IgnoreAlreadyExists(env.Client.Create(s.t.Context(), a)); err != nil {
		s.t.Fatal(err)
	}
	s.Eventually(func() error {
		if err := env.Client.Get(s.t.Context(), client.ObjectKeyFromObject(a), a); err != nil {
			return err
		}
		switch {
		case a.Status.State == "":
			return errors.New("the manager has not seen it yet")
		case a.Status.State != state:
			a.Status.State = state
			if err := env.Client.Status().Update(s.t.Context(), a); err != nil || state != v1alpha1.MirrorPresent {
				return err
			}
			return errors.New("a pass of the manager that has begun may write something else")
		case state == v1alpha1.MirrorPresent && !apimeta.IsStatusConditionPresentAndEqual(a.Status.Conditions, v1alpha1.ConditionReady, metav1.ConditionUnknown):
			return errors.New("the manager has not seen yet that it was present")
		}
		return nil
	}).Should(gomega.Succeed())
	return a
}

// tried returns the result of a dry run of a new pod with anImage.
func (s *mirrorScene) tried(change ...func(*corev1.Pod)) *corev1.Pod {
	s.t.Helper()
	p := s.pod("", anImage)
	p.GenerateName = "pod-"
	for _, c := range change {
		c(p)
	}
	if err := env.Client.Create(s.t.Context(), p, client.DryRunAll); err != nil {
		s.t.Fatal(err)
	}
	return p
}

func (s *mirrorScene) seen(image string) {
	s.t.Helper()
	s.Eventually(func() string {
		return s.tried(func(p *corev1.Pod) { p.Spec.Containers[0].Image = image }).Spec.Containers[0].Image
	}).Should(gomega.HavePrefix(pullAddress))
}

// TestR5NewPodsPullFromTheMirrorWhatItHas tests every kind of pod and image reference.
func TestR5NewPodsPullFromTheMirrorWhatItHas(t *testing.T) {
	t.Parallel()
	s := newMirrorScene(t)
	s.has(anImage, v1alpha1.MirrorPresent)
	s.has(anImage+aDigest, v1alpha1.MirrorPresent)
	s.has("busybox", v1alpha1.MirrorPresent)
	s.has("registry.example.com:5000/acme/copying:1", v1alpha1.MirrorCopying)
	for _, image := range []string{anImage, anImage + aDigest, "busybox"} {
		s.seen(image)
	}
	image := func(p *corev1.Pod) string { return p.Spec.Containers[0].Image }
	for name, tt := range map[string]struct {
		reason string
		change func(*corev1.Pod)
		get    func(*corev1.Pod) string
		want   string
	}{
		"Present": {"what the mirror has", func(*corev1.Pod) {}, image, mirrored},
		"Digest":  {"and its digest", func(p *corev1.Pod) { p.Spec.Containers[0].Image += aDigest }, image, mirrored + aDigest},
		"Short":   {"by a short name", func(p *corev1.Pod) { p.Spec.Containers[0].Image = "busybox" }, image, pullAddress + "/docker.io/library/busybox:latest"},
		"Absent":  {"not what it has not", func(p *corev1.Pod) { p.Spec.Containers[0].Image = "registry.example.com:5000/acme/smf:1" }, image, "registry.example.com:5000/acme/smf:1"},
		"Copying": {"nor an image that is still being copied", func(p *corev1.Pod) { p.Spec.Containers[0].Image = "registry.example.com:5000/acme/copying:1" }, image, "registry.example.com:5000/acme/copying:1"},
		"OptOut":  {"nor where a label says so", func(p *corev1.Pod) { p.Labels = map[string]string{v1alpha1.LabelMirror: v1alpha1.MirrorDisabled} }, image, anImage},
		"Static": {"nor a static pod's", func(p *corev1.Pod) {
			p.Annotations, p.Spec.NodeName = map[string]string{rewrite.StaticPod: "x"}, "node"
		}, image, anImage},
		"Never":   {"nor an image that is never pulled", func(p *corev1.Pod) { p.Spec.Containers[0].ImagePullPolicy = corev1.PullNever }, image, anImage},
		"Already": {"what comes from the mirror stays", func(p *corev1.Pod) { p.Spec.Containers[0].Image = mirrored }, image, mirrored},
		"Init": {"an init container's", func(p *corev1.Pod) {
			p.Spec.InitContainers = []corev1.Container{{Name: "init", Image: anImage}}
		}, func(p *corev1.Pod) string { return p.Spec.InitContainers[0].Image }, mirrored},
		"Volume": {"a volume's", func(p *corev1.Pod) {
			p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: "model", VolumeSource: corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: anImage}}})
		}, func(p *corev1.Pod) string {
			for _, v := range p.Spec.Volumes {
				if v.Image != nil {
					return v.Image.Reference
				}
			}
			return "no image"
		}, mirrored},
		"Annotation": {"the original is kept", func(*corev1.Pod) {}, func(p *corev1.Pod) string { return p.Annotations[v1alpha1.AnnotationOriginalImages] }, `{"containers/web":"` + anImage + `"}`},
		"Secrets": {"the secrets stay", func(p *corev1.Pod) { p.Spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "login"}} },
			func(p *corev1.Pod) string { return p.Spec.ImagePullSecrets[0].Name }, "login"},
		"Elsewhere": {"not the operator's own", func(p *corev1.Pod) { p.Namespace = s.operator }, image, anImage},
	} {
		p := s.tried(tt.change)
		if got := tt.get(p); got != tt.want {
			t.Errorf("%s (%s): %s, want %s", name, tt.reason, got, tt.want)
		}
	}
}

// An added ephemeral container is changed. The existing containers stay as they are.
func TestEphemeralContainersPullFromTheMirror(t *testing.T) {
	t.Parallel()
	s := newMirrorScene(t)
	p := s.pod("debugged", anImage)
	s.create(p)
	s.has(anImage, v1alpha1.MirrorPresent)
	s.seen(anImage)
	p.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "debug", Image: anImage}}}
	if err := env.Client.SubResource("ephemeralcontainers").Update(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	s.reread(p)
	if got := p.Spec.EphemeralContainers[0].Image; got != mirrored {
		t.Errorf("the ephemeral container pulls %s", got)
	}
	if got := p.Spec.Containers[0].Image; got != anImage {
		t.Errorf("the container that was there pulls %s", got)
	}
}

// With Always, a pod waits for the copy, which a new Artifact requests. A dry run requests nothing.
func TestWhatPodsUseIsAskedFor(t *testing.T) {
	t.Parallel()
	s := newMirrorScene(t, func(m *v1alpha1.MirrorSpec) { m.Rewrite = v1alpha1.RewriteAlways })
	s.seen(anImage) // by dry runs
	var all v1alpha1.ArtifactList
	list := func() []v1alpha1.Artifact {
		s.Expect(env.Client.List(t.Context(), &all, client.InNamespace(s.ns))).To(gomega.Succeed())
		return all.Items
	}
	s.Consistently(list, 300*time.Millisecond).Should(gomega.BeEmpty())
	p := s.pod("", anImage)
	p.GenerateName = "named-by-the-server-"
	s.create(p)
	if got := p.Spec.Containers[0].Image; got != mirrored {
		t.Errorf("with Always a pod pulls %s", got)
	}
	s.Eventually(list).Should(gomega.ConsistOf(gomega.HaveField("Spec.SourceArtifact", anImage)))
}

func TestNamespacesAreSelected(t *testing.T) {
	t.Parallel()
	s := newMirrorScene(t, func(m *v1alpha1.MirrorSpec) {
		m.Rewrite, m.NamespaceSelector = v1alpha1.RewriteAlways, &metav1.LabelSelector{MatchLabels: map[string]string{"mirrored": "yes"}}
	})
	image := func() string { return s.tried().Spec.Containers[0].Image }
	s.Consistently(image, 300*time.Millisecond).Should(gomega.Equal(anImage))
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.ns}}
	if err := env.Client.Patch(t.Context(), ns, client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"labels":{"mirrored":"yes"}}}`))); err != nil {
		t.Fatal(err)
	}
	s.Eventually(image).Should(gomega.Equal(mirrored))
}

// TestR5AWebhookThatIsDownChangesNothing: the manager has ended and the webhook configuration still exists.
func TestR5AWebhookThatIsDownChangesNothing(t *testing.T) {
	t.Parallel()
	s := newMirrorScene(t)
	s.has(anImage, v1alpha1.MirrorPresent)
	s.seen(anImage)
	s.manager.Stop()
	p := s.pod("alone", anImage)
	s.create(p)
	if got := p.Spec.Containers[0].Image; got != anImage {
		t.Errorf("it pulls %s", got)
	}
}

// TestR5StuckPodsAreRepaired: a stuck pod that the webhook missed gets the mirror's image, and one
// whose image the mirror cannot provide gets its own image back. The pods are changed in place.
func TestR5StuckPodsAreRepaired(t *testing.T) {
	t.Parallel()
	s := newMirrorScene(t)
	missed, works := s.pod("missed", anImage), s.pod("works", anImage)
	s.create(missed, works)
	a := s.has(anImage, v1alpha1.MirrorPresent)
	s.seen(anImage)
	orphan := s.pod("orphan", anImage)
	s.create(orphan)
	s.Expect(orphan.Spec.Containers[0].Image).To(gomega.Equal(mirrored))
	image := func(p *corev1.Pod) func() string {
		return func() string { s.reread(p); return p.Spec.Containers[0].Image }
	}
	s.stuck(missed)
	s.Eventually(image(missed)).Should(gomega.Equal(mirrored))
	s.Expect(missed.Annotations).To(gomega.HaveKey(v1alpha1.AnnotationOriginalImages))
	s.said(missed, v1alpha1.ReasonImageFromMirror)

	s.has(anImage, v1alpha1.MirrorFailed)
	s.stuck(orphan)
	s.Eventually(image(orphan)).Should(gomega.Equal(anImage))
	s.Expect(orphan.Annotations).NotTo(gomega.HaveKey(v1alpha1.AnnotationOriginalImages))
	s.said(orphan, v1alpha1.ReasonImageFromSource)

	// A repaired pod is not changed again at once, and only stuck pods are changed.
	s.has(anImage, v1alpha1.MirrorPresent)
	s.Consistently(image(orphan), 500*time.Millisecond).Should(gomega.Equal(anImage))
	s.Expect(image(works)()).To(gomega.Equal(anImage))
	s.delete(a)
}

// TestR5WithoutAMirrorPodsGetTheirImagesBack: the store has been deleted, and the manager is running.
func TestR5WithoutAMirrorPodsGetTheirImagesBack(t *testing.T) {
	t.Parallel()
	s := newMirrorScene(t)
	s.has(anImage, v1alpha1.MirrorPresent)
	s.seen(anImage)
	p := s.pod("left", anImage)
	s.create(p)
	s.Expect(p.Spec.Containers[0].Image).To(gomega.Equal(mirrored))
	s.stuck(p)
	s.delete(s.mirror)
	s.Eventually(func() string { s.reread(p); return p.Spec.Containers[0].Image }).Should(gomega.Equal(anImage))
}

func (s *mirrorScene) reread(p *corev1.Pod) {
	s.t.Helper()
	if err := env.Client.Get(s.t.Context(), client.ObjectKeyFromObject(p), p); err != nil {
		s.t.Fatal(err)
	}
}

// stuck sets the status of a pod whose image cannot be pulled, as a kubelet does.
func (s *mirrorScene) stuck(p *corev1.Pod) {
	s.t.Helper()
	s.reread(p)
	p.Status.Phase = corev1.PodPending
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: p.Spec.Containers[0].Name, Image: p.Spec.Containers[0].Image, State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff"}}}}
	if err := env.Client.Status().Update(s.t.Context(), p); err != nil {
		s.t.Fatal(err)
	}
}

// said waits for an event with the reason about a pod.
func (s *mirrorScene) said(p *corev1.Pod, reason string) {
	s.t.Helper()
	s.Eventually(func() []corev1.Event {
		var all corev1.EventList
		s.Expect(env.Client.List(s.t.Context(), &all, client.InNamespace(s.ns))).To(gomega.Succeed())
		return all.Items
	}).Should(gomega.ContainElement(gomega.And(gomega.HaveField("InvolvedObject.Name", p.Name), gomega.HaveField("Reason", reason))))
}

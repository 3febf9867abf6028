package recovery

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"time"

	"github.com/onsi/gomega"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/purge"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
	"github.com/nfo-operator/nfo/test/environment"
)

// publisher has a store and four manifests: "held" is used by a definition, a design
// and a site, "sealed" is sealed, "free" is not used, and "gone" is released.
type publisher struct {
	*scene
	storeName string
	truth     map[string]string // the digest of each manifest's artifact image:1
}

func manifestNames() []string { return []string{"held", "sealed", "free", "gone"} }

// newPublisher creates the objects and waits until they are ready. A manager must
// be running. If not nil, between is called before anything is released or used.
func newPublisher(s *scene, between func()) *publisher {
	s.t.Helper()
	p := &publisher{scene: s, storeName: "acme", truth: map[string]string{}}
	st := p.store()
	s.create(st)
	s.eventually(st, v1alpha1.ConditionReady, "True/Ready")
	for _, name := range manifestNames() {
		d, err := registrytest.PushImage(s.t.Context(), s.registry.Host, "acme/"+name+"/image", "1", name)
		if err != nil {
			s.t.Fatal(err)
		}
		p.truth[name] = d.Digest.String()
		s.create(p.manifest(name))
	}
	p.uploaded(manifestNames()...)
	if between != nil {
		between()
	}
	s.create(p.users()...)
	s.delete(p.manifest("gone"))
	s.goes(p.manifest("gone"))
	s.eventually(p.manifest("held"), v1alpha1.ConditionReferenced, "True/InUse")
	for _, o := range p.users()[:2] {
		s.eventually(o, v1alpha1.ConditionResolved, "True/Resolved")
	}
	return p
}

func (p *publisher) store() *v1alpha1.ArtifactStore {
	st := &v1alpha1.ArtifactStore{ObjectMeta: p.meta(p.storeName)}
	st.Spec.Registry.URL = p.registry.URL("acme")
	st.Spec.Purge.GracePeriod = metav1.Duration{Duration: time.Hour}
	return st
}

func (p *publisher) manifest(name string) *v1alpha1.ArtifactManifest {
	m := &v1alpha1.ArtifactManifest{ObjectMeta: p.meta(name)}
	m.Spec.ArtifactStoreRef.Name = p.storeName
	m.Spec.Artifacts = []v1alpha1.ManifestArtifact{{ArtifactName: "image", ArtifactVersion: "1"}}
	if name == "sealed" {
		m.Spec.ArtifactManifestState = v1alpha1.ManifestUploaded
	}
	return m
}

// users returns the definition, the design and the site that use the manifest "held", in this order.
func (p *publisher) users() []client.Object {
	source := v1alpha1.ArtifactSource{ArtifactManifestRef: &v1alpha1.LocalReference{Name: "held"}}
	def := &v1alpha1.NetworkFunctionDefinitionVersion{ObjectMeta: p.meta("def")}
	def.Spec.NetworkFunctionTemplate.NetworkFunctionApplications = []v1alpha1.NetworkFunctionApplication{{
		Name: "app",
		ArtifactProfile: v1alpha1.HelmApplicationProfile{
			ArtifactSource:      source,
			HelmArtifactProfile: v1alpha1.HelmArtifactProfile{HelmPackageName: "image", HelmPackageVersionRange: "1"},
		},
	}}
	design := &v1alpha1.NetworkServiceDesignVersion{ObjectMeta: p.meta("design")}
	design.Spec.ResourceElementTemplates = []v1alpha1.ResourceElementTemplate{{
		Name: "core", Type: v1alpha1.NetworkFunctionDefinition,
		Configuration: v1alpha1.ResourceElementConfiguration{
			ArtifactProfile:                     &v1alpha1.TemplateArtifactProfile{ArtifactSource: source, ArtifactName: "image", ArtifactVersion: "1"},
			NetworkFunctionDefinitionVersionRef: &v1alpha1.LocalReference{Name: "def"},
		},
	}}
	site := &v1alpha1.SiteNetworkService{ObjectMeta: p.meta("site")}
	site.Spec.NetworkServiceDesignVersionRef = v1alpha1.DesignReference{Name: "design"}
	return []client.Object{def, design, site}
}

// applied returns every object that the publisher has in Git, in the order in which it is applied.
func (p *publisher) applied() []client.Object {
	all := []client.Object{p.store()}
	for _, name := range manifestNames() {
		all = append(all, p.manifest(name))
	}
	return append(all, p.users()...)
}

// uploaded waits until the manifests report that their artifact is present at the right digest.
func (p *publisher) uploaded(names ...string) {
	p.t.Helper()
	for _, name := range names {
		m := p.manifest(name)
		p.eventually(m, v1alpha1.ConditionUploaded, "True/Complete")
		p.Expect(m.Status.Artifacts).To(gomega.HaveLen(1))
		p.Expect(m.Status.Artifacts[0].Digest).To(gomega.Equal(p.truth[name]), name)
	}
}

// at returns the digest to which a reference of a manifest's artifact resolves, or "" if it does not exist.
func (p *publisher) at(manifest, reference string) string {
	p.t.Helper()
	req := httptest.NewRequest(http.MethodHead, "/v2/acme/"+manifest+"/image/manifests/"+reference, nil)
	req.Header.Set("Accept", strings.Join([]string{ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex}, ","))
	w := httptest.NewRecorder()
	p.registry.App.ServeHTTP(w, req)
	if w.Code != http.StatusOK {
		return ""
	}
	return w.Header().Get("Docker-Content-Digest")
}

// whole checks that the tags of manifests exist and have the right digests.
func (p *publisher) whole(names ...string) {
	p.t.Helper()
	for _, name := range names {
		p.Expect(p.at(name, "1")).To(gomega.Equal(p.truth[name]), "LOST: the tag of %s", name)
	}
}

// nothingIsLost checks that every digest exists, and every tag that was not released.
func (p *publisher) nothingIsLost() {
	p.t.Helper()
	p.whole("held", "sealed")
	for _, name := range manifestNames() {
		p.Expect(p.at(name, p.truth[name])).To(gomega.Equal(p.truth[name]), "LOST: the digest of %s", name)
	}
}

// lifeGoesOn continues the publisher's work to its end: it restores what was released, checks that what is in use
// is protected until nothing uses it, restores that once, and finally deletes everything, from the registry too.
func (p *publisher) lifeGoesOn() {
	p.t.Helper()
	p.nothingIsLost()
	for _, name := range manifestNames() {
		p.again(name)
	}
	held := p.manifest("held")
	p.delete(held)
	p.eventually(held, v1alpha1.ConditionDeletionBlocked, "True/InUse")
	p.whole(manifestNames()...)
	p.delete(p.users()...)
	p.goes(append(p.users(), held)...)
	p.Expect(p.at("held", "1")).To(gomega.BeEmpty(), "the tag of what nobody uses should go")
	p.again("held")
	p.ends()
}

// again applies a manifest that may be terminating or released, and waits until its artifact is restored.
func (p *publisher) again(name string) {
	p.t.Helper()
	m := p.manifest(name)
	if p.read(m) && !m.DeletionTimestamp.IsZero() {
		for _, u := range p.users() {
			p.delete(u)
		}
		p.goes(append(p.users(), m)...)
		p.create(p.users()...)
	}
	if !p.read(p.manifest(name)) {
		p.create(p.manifest(name))
	}
	p.uploaded(name)
	p.whole(name)
}

// ends deletes all manifests, and purges until the registry is empty.
func (p *publisher) ends() {
	p.t.Helper()
	for _, name := range manifestNames() {
		p.delete(p.manifest(name))
	}
	for _, name := range manifestNames() {
		p.goes(p.manifest(name))
		p.Expect(p.at(name, "1")).To(gomega.BeEmpty(), "the tag of %s", name)
		p.Expect(p.at(name, p.truth[name])).NotTo(gomega.BeEmpty(), "LOST: the digest of %s", name)
	}
	p.expire()
	var report purge.Report
	p.Eventually(func() (left []string) {
		var err error
		if report, err = p.purge(nil); err != nil {
			return []string{err.Error()}
		}
		return slices.DeleteFunc(manifestNames(), func(name string) bool { return p.at(name, p.truth[name]) == "" })
	}).WithPolling(time.Second).Should(gomega.BeEmpty(), func() string { return report.Summary() })
	p.delete(p.store())
	p.goes(p.store())
}

// expire ends the grace period of all tombstones.
func (p *publisher) expire() {
	p.t.Helper()
	for _, name := range p.names(v1alpha1.KindTombstone) {
		t := &v1alpha1.Tombstone{ObjectMeta: p.meta(name)}
		patch := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"annotations":{"`+v1alpha1.AnnotationExpireNow+`":""}}}`))
		p.Expect(client.IgnoreNotFound(env.Client.Patch(p.t.Context(), t, patch))).To(gomega.Succeed())
	}
}

func (p *publisher) purge(through environment.Transport) (purge.Report, error) {
	p.t.Helper()
	cfg, err := env.PurgeOf(client.ObjectKeyFromObject(p.store()), through)
	if err != nil {
		p.t.Fatal(err)
	}
	cfg.SecondLook = time.Second
	return purge.Run(context.WithoutCancel(p.t.Context()), cfg)
}

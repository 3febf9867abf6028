package integration

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
	"github.com/nfo-operator/nfo/test/environment"
)

// publisher has one object of each kind, all of them ready.
type publisher struct {
	secret *corev1.Secret
	store  *v1alpha1.ArtifactStore
	m, n   *v1alpha1.ArtifactManifest
	nfdv   *v1alpha1.NetworkFunctionDefinitionVersion
	nsdv   *v1alpha1.NetworkServiceDesignVersion
	// digests by repository
	digests map[string]string
}

func (s *scene) publish() publisher {
	s.t.Helper()
	p := publisher{
		secret: s.basicAuth(password), store: s.store("acme"),
		m: s.manifest("m", "a:1", "b:1"), n: s.manifest("n", "a:1"),
		nfdv: s.definition("nfdv", "m", "a"), nsdv: s.design("nsdv", "n", "a:1", "nfdv"),
		digests: map[string]string{
			"acme/m/a": s.image("m", "a:1", "one").Digest.String(),
			"acme/m/b": s.image("m", "b:1", "two").Digest.String(),
			"acme/n/a": s.image("n", "a:1", "three").Digest.String(),
		},
	}
	p.store.Spec.Registry.CredentialsSecretRef = &v1alpha1.LocalReference{Name: p.secret.Name}
	s.create(p.secret, p.store, p.m, p.n, p.nfdv, p.nsdv)
	for _, m := range []*v1alpha1.ArtifactManifest{p.m, p.n} {
		s.eventually(m, v1alpha1.ConditionUploaded, "True/Complete")
		s.eventually(m, v1alpha1.ConditionReferenced, "True/InUse")
	}
	s.eventually(p.nsdv, v1alpha1.ConditionResolved, "True/Resolved")
	s.eventually(p.nfdv, v1alpha1.ConditionResolved, "True/Resolved")
	return p
}

func (p publisher) holdersFirst() []client.Object {
	return []client.Object{p.nsdv, p.nfdv, p.m, p.n, p.store}
}

func TestI4NamespaceGoesAndArtifactsStay(t *testing.T) {
	t.Parallel()
	s := newGuardedScene(t, registrytest.BasicAuth(user, password))
	s.SetDefaultEventuallyTimeout(recheck) // Kubernetes deletes a namespace slowly
	s.manage(func(o *environment.ManagerOptions) { o.PurgerImage = "nfo:test" })
	p := s.publish()
	before := s.contents()
	s.registry.Forget()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.ns}}
	s.delete(ns)
	s.Eventually(func() bool { return s.gone(ns) }).Should(gomega.BeTrue(), func() string { return s.reported() })
	s.goes(p.holdersFirst()...)
	s.Expect(s.contents()).To(gomega.Equal(before))
	s.Expect(s.registry.Writes()).To(gomega.BeZero(), "nothing can be recorded in a namespace that goes, so nothing is untagged")
}

func TestDeletionInAnyOrderEnds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		reason string
		order  func(publisher) []client.Object
	}{
		"HoldersFirst": {reason: "the order that never waits", order: publisher.holdersFirst},
		"SubjectsFirst": {reason: "each waits for the next", order: func(p publisher) []client.Object {
			all := p.holdersFirst()
			slices.Reverse(all)
			return all
		}},
		"SecretFirst": {reason: "kubectl delete -f takes the Secret along: the store still knows the login", order: func(p publisher) []client.Object {
			return append([]client.Object{p.secret, p.store}, p.holdersFirst()[:4]...)
		}},
		"SecretBeforeStore": {reason: "the deletion of the store wakes what has lost its login", order: func(p publisher) []client.Object {
			return append([]client.Object{p.secret}, p.holdersFirst()...)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newGuardedScene(t, registrytest.BasicAuth(user, password))
			s.manage(func(o *environment.ManagerOptions) { o.PurgerImage = "nfo:test" })
			p := s.publish()
			s.delete(c.order(p)...)
			s.goes(p.holdersFirst()...)
			s.releasedAll(p, c.reason)
		})
	}
}

func TestDeletionOfEverythingAtOnceEnds(t *testing.T) {
	t.Parallel()
	s := newGuardedScene(t, registrytest.BasicAuth(user, password))
	s.manage()
	p := s.publish()
	for _, o := range []client.Object{
		&corev1.Secret{}, &v1alpha1.ArtifactStore{}, &v1alpha1.ArtifactManifest{},
		&v1alpha1.NetworkFunctionDefinitionVersion{}, &v1alpha1.NetworkServiceDesignVersion{},
	} {
		s.Expect(env.Client.DeleteAllOf(t.Context(), o, client.InNamespace(s.ns))).To(gomega.Succeed())
	}
	s.goes(p.holdersFirst()...)
	s.releasedAll(p, "it ends by itself")

	// When everything is applied again, everything is restored.
	clean := func(o client.Object) client.Object {
		o.SetResourceVersion("")
		o.SetUID("")
		o.SetFinalizers(nil)
		o.SetDeletionTimestamp(nil)
		return o
	}
	s.create(s.basicAuth(password))
	for _, o := range p.holdersFirst() {
		s.create(clean(o))
	}
	s.eventually(p.m, v1alpha1.ConditionUploaded, "True/Complete")
	s.eventually(p.n, v1alpha1.ConditionUploaded, "True/Complete")
	s.eventually(p.nsdv, v1alpha1.ConditionResolved, "True/Resolved")
	for repository, d := range p.digests {
		s.Expect(s.at(repository, "1")).To(gomega.Equal(d))
	}
	s.Eventually(s.tombstones).Should(gomega.BeEmpty())
}

// releasedAll checks that every tag of a publisher is removed, every digest exists, and the tombstones record all of them.
func (s *scene) releasedAll(p publisher, reason string) {
	s.t.Helper()
	s.Expect(s.contents()).To(gomega.BeEmpty(), reason)
	for repository, d := range p.digests {
		s.Expect(s.at(repository, d)).To(gomega.Equal(d), reason)
	}
	s.Expect(s.tombstones()).To(gomega.HaveLen(2), reason)
	for _, grave := range s.tombstones() {
		for _, a := range grave.Spec.Artifacts {
			s.Expect(grave.Entry(a.Repository, a.Tag).State).To(gomega.Equal(v1alpha1.TombstoneUntagged), reason)
			s.Expect(a.Digests).To(gomega.Equal([]string{p.digests[a.Repository]}), reason)
		}
	}
}

// oldForm makes a definition reference a store, as before AOSM's API 2025-03-30.
func oldForm(o *v1alpha1.NetworkFunctionDefinitionVersion) *v1alpha1.NetworkFunctionDefinitionVersion {
	o.Spec.NetworkFunctionTemplate.NetworkFunctionApplications[0].ArtifactProfile.ArtifactSource = v1alpha1.ArtifactSource{
		ArtifactStoreRef: &v1alpha1.LocalReference{Name: "acme"},
	}
	return o
}

func TestI2OldFormHoldsWhatListsTheArtifact(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage()
	store := s.store("acme")
	first, second, unlike := s.manifest("cnfmanifest", "testapp:1.0.0"), s.manifest("cnfmanifest2", "testapp:2.0.0"), s.manifest("cnfmanifest3", "testapp2:1.0.0")
	old, later := oldForm(s.definition("old", "", "testapp")), s.definition("later", "cnfmanifest2", "testapp")
	s.create(store, first, second, unlike, old, later)
	for _, m := range []*v1alpha1.ArtifactManifest{first, second, unlike} {
		a := m.Spec.Artifacts[0]
		s.image(m.Name, a.ArtifactName+":"+a.ArtifactVersion, m.Name)
	}
	s.says(old, v1alpha1.ConditionResolved, "True/StoreReference", "artifactstores/"+s.ns+"/acme", "Change artifactStoreRef to artifactManifestRef")
	for _, m := range []*v1alpha1.ArtifactManifest{first, second, unlike} {
		s.eventually(m, v1alpha1.ConditionUploaded, "True/Complete")
	}
	before := s.contents()
	s.delete(first, second, unlike, store)
	s.goes(unlike) // its artifact has another name
	s.says(first, v1alpha1.ConditionDeletionBlocked, "True/InUse", `"networkfunctiondefinitionversions/`+s.ns+`/old" (artifact testapp:1.0.0, application app)`)
	s.Expect(s.find(first, v1alpha1.ConditionDeletionBlocked).Message).NotTo(gomega.ContainSubstring("/later"))
	s.says(second, v1alpha1.ConditionDeletionBlocked, "True/InUse", "/old", "/later")
	delete(before, "acme/cnfmanifest3/testapp2:1.0.0")
	s.Expect(s.contents()).To(gomega.Equal(before))

	s.delete(later)
	s.goes(later)
	s.says(second, v1alpha1.ConditionDeletionBlocked, "True/InUse", "/old")
	s.Expect(s.contents()).To(gomega.Equal(before))
	s.delete(old)
	s.goes(old, first, second, store)
	s.Expect(s.contents()).To(gomega.BeEmpty())
}

// storeScoped makes a manifest like one from before AOSM's API 2025-03-30.
func storeScoped(m *v1alpha1.ArtifactManifest) *v1alpha1.ArtifactManifest {
	m.Spec.UploadPath = v1alpha1.StoreScoped
	return m
}

// imageIn pushes an image with the tag 1 to a repository below the registry's root.
func (s *scene) imageIn(repository, seed string) string {
	s.t.Helper()
	d, err := registrytest.PushImage(s.t.Context(), s.inside.Host, repository, "1", seed)
	if err != nil {
		s.t.Fatal(err)
	}
	return d.Digest.String()
}

func TestStoreScopedManifestGoesAtOnce(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage()
	m, held := storeScoped(s.manifest("free", "web/nginx:1")), storeScoped(s.manifest("held", "nginx:1"))
	nfdv := s.definition("nfdv", "held", "nginx")
	s.imageIn("acme/web/nginx", "one")
	s.imageIn("acme/nginx", "two")
	before := s.contents()
	s.registry.Forget()
	s.create(s.store("acme"), m, held, nfdv, oldForm(s.definition("old", "", "nginx")))
	s.eventually(m, v1alpha1.ConditionUploaded, "True/Complete")
	s.eventually(held, v1alpha1.ConditionUploaded, "True/Complete")
	s.says(nfdv, v1alpha1.ConditionResolved, "False/StoreScoped", "artifactmanifests/"+s.ns+"/held", "Change their uploadPath to ManifestScoped")
	s.eventually(held, v1alpha1.ConditionReferenced, "True/InUse")
	s.delete(m, held)
	s.goes(m, held)
	s.eventually(nfdv, v1alpha1.ConditionResolved, "False/NotFound")
	s.Expect(s.contents()).To(gomega.Equal(before))
	s.Expect(s.registry.Writes()).To(gomega.BeZero())
	s.Expect(s.tombstones()).To(gomega.BeEmpty())
}

// A StoreScoped manifest may list a tag in the path of another manifest. The tag must stay.
func TestI1ATagThatAStoreScopedManifestListsStays(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage()
	d := s.image("m", "nginx:1", "one").Digest.String()
	s.image("m", "other:1", "two")
	m, alias := s.manifest("m", "nginx:1", "other:1"), storeScoped(s.manifest("alias", "m/nginx:1"))
	s.create(s.store("acme"), m, alias)
	s.eventually(m, v1alpha1.ConditionUploaded, "True/Complete")
	s.eventually(alias, v1alpha1.ConditionUploaded, "True/Complete")
	s.delete(m)
	s.goes(m)
	s.Expect(s.at("acme/m/nginx", "1")).To(gomega.Equal(d))
	s.Expect(s.at("acme/m/other", "1")).To(gomega.BeEmpty())
	s.Expect(s.tombstones()).To(gomega.HaveLen(1))
	s.Expect(s.tombstones()[0].Spec.Artifacts).To(gomega.HaveLen(1))
}

func TestUpgradeLeavesTheOldPathAlone(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage()
	m := storeScoped(s.manifest("m", "nginx:1"))
	m.Spec.ArtifactManifestState = v1alpha1.ManifestUploaded
	nfdv := s.definition("nfdv", "m", "nginx")
	old := s.imageIn("acme/nginx", "one")
	s.create(s.store("acme"), m, nfdv)
	s.eventually(m, v1alpha1.ConditionUploaded, "True/Complete")
	s.Expect(m.Status.Artifacts[0].Repository).To(gomega.Equal("acme/nginx"))
	s.eventually(nfdv, v1alpha1.ConditionResolved, "False/StoreScoped")
	s.registry.Forget()

	change(s, m, func(m *v1alpha1.ArtifactManifest) {
		m.Spec.UploadPath, m.Spec.ArtifactManifestState = v1alpha1.ManifestScoped, v1alpha1.ManifestUploading
	})
	s.says(m, v1alpha1.ConditionUploaded, "False/Missing", "acme/m/nginx:1")
	s.Expect(m.Status.Artifacts[0].Digest).To(gomega.BeEmpty(), "what lies at the old path is not what is listed now")
	s.eventually(nfdv, v1alpha1.ConditionResolved, "True/Resolved")
	d := s.image("m", "nginx:1", "one").Digest.String()
	s.eventually(m, v1alpha1.ConditionUploaded, "True/Complete")
	s.delete(m, nfdv)
	s.goes(nfdv, m)
	s.Expect(s.contents()).To(gomega.Equal(map[string]string{"acme/nginx:1": old}))
	s.Expect(s.at("acme/m/nginx", d)).To(gomega.Equal(d))
	s.Expect(s.registry.Count(func(r *http.Request) bool {
		return strings.HasPrefix(r.URL.Path, "/v2/acme/nginx/") && r.Method != http.MethodGet && r.Method != http.MethodHead
	})).To(gomega.BeZero())
	s.Expect(s.tombstones()).To(gomega.HaveLen(1))
	s.Expect(s.tombstones()[0].Spec.Artifacts).To(gomega.HaveLen(1))
	s.Expect(s.tombstones()[0].Spec.Artifacts[0].Repository).To(gomega.Equal("acme/m/nginx"))
}

// pollsWithin is longer than the time between two polls of a manifest with missing artifacts.
const pollsWithin = 6 * time.Second

// Not parallel, because it counts the passes of the whole process.
func TestI10WaitingCostsNothing(t *testing.T) {
	s := newScene(t)
	s.manage()
	m, nfdv := s.manifest("m", "a:1", "missing:1"), s.definition("nfdv", "m", "a")
	s.image("m", "a:1", "one")
	s.create(s.store("acme"), m, nfdv)
	s.eventually(m, v1alpha1.ConditionUploaded, "False/Missing") // it is polled every few seconds
	s.eventually(m, v1alpha1.ConditionReferenced, "True/InUse")
	s.delete(m)
	s.eventually(m, v1alpha1.ConditionDeletionBlocked, "True/InUse")
	s.eventually(nfdv, v1alpha1.ConditionResolved, "False/Terminating")

	s.registry.Forget()
	first := environment.Passes(t)
	last, since := first, time.Now()
	s.Eventually(func() time.Duration {
		if now := environment.Passes(t); now != last {
			last, since = now, time.Now()
		}
		return time.Since(since)
	}).Should(gomega.BeNumerically(">", pollsWithin), "there comes a time without any pass")
	s.Expect(last-first).To(gomega.BeNumerically("<=", 1), "the poll that was due already, which finds that it need not be made")
	s.Expect(s.registry.Count(touches("m"))).To(gomega.BeZero())

	s.delete(nfdv)
	s.goes(nfdv, m)
	s.Expect(s.contents()).To(gomega.BeEmpty())
}

// The upgrade, the removal of an entry and the deletion happen while no
// manager runs. The digests recorded at the old path must not be released.
func TestI9UpgradeAndDeletionUnseenLeaveTheOldPathAlone(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	manager := s.manage()
	m := storeScoped(s.manifest("m", "nginx:1", "other:1"))
	s.imageIn("acme/nginx", "one")
	s.imageIn("acme/other", "two")
	s.create(s.store("acme"), m)
	s.eventually(m, v1alpha1.ConditionUploaded, "True/Complete")
	manager.Stop()
	before := s.contents()
	change(s, m, func(m *v1alpha1.ArtifactManifest) {
		m.Spec.UploadPath, m.Spec.Artifacts = v1alpha1.ManifestScoped, m.Spec.Artifacts[:1]
	})
	s.delete(m)
	s.registry.Forget()
	s.manage()
	s.goes(m)
	s.Expect(s.contents()).To(gomega.Equal(before))
	s.Expect(s.registry.Writes()).To(gomega.BeZero())
}

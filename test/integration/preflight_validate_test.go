package integration

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/test/environment"
)

// warnings collects the warnings of the API server.
type warnings struct {
	mu  sync.Mutex
	all []string
}

// HandleWarningHeader implements rest.WarningHandler.
func (w *warnings) HandleWarningHeader(_ int, _, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, text)
}

// warned returns a client, and a function that returns the warnings since its last call.
func (s *scene) warned() (func() []string, client.Client) {
	s.t.Helper()
	var w warnings
	kube := rest.CopyConfig(env.Admin)
	kube.WarningHandler = &w
	c, err := client.New(kube, client.Options{Scheme: env.Client.Scheme()})
	if err != nil {
		s.t.Fatal(err)
	}
	return func() []string {
		w.mu.Lock()
		defer w.mu.Unlock()
		all := w.all
		w.all = nil
		return all
	}, c
}

// as returns a client that acts as another user.
func (s *scene) as(user string) client.Client {
	s.t.Helper()
	c, err := client.New(env.As(user), client.Options{Scheme: env.Client.Scheme()})
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// grant gives a user verbs on resources of the product in the scene's namespace.
func (s *scene) grant(user, role string, verbs []string, resources ...string) {
	s.t.Helper()
	s.create(
		&rbacv1.Role{ObjectMeta: s.meta(role), Rules: []rbacv1.PolicyRule{{APIGroups: []string{"nfo.dev"}, Resources: resources, Verbs: verbs}}},
		&rbacv1.RoleBinding{ObjectMeta: s.meta(role),
			RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role},
			Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}}},
	)
}

// Each rule is tested once through the API server. Tests next to the code have the other
// cases. The objects are created in dry runs, which the webhooks check like real requests.
func TestRulesAreAsked(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage(hooked)
	sealedFirst := func(m *v1alpha1.ArtifactManifest) *v1alpha1.ArtifactManifest {
		m.Spec.ArtifactManifestState = v1alpha1.ManifestUploaded
		return m
	}
	activeDefinition := func(name, manifest string) *v1alpha1.NetworkFunctionDefinitionVersion {
		d := s.definition(name, manifest, "a")
		d.Spec.VersionState = v1alpha1.VersionActive
		return d
	}
	activeDesign := func(name, manifest, definition string) *v1alpha1.NetworkServiceDesignVersion {
		d := s.design(name, manifest, "a:1", definition)
		d.Spec.VersionState = v1alpha1.VersionActive
		return d
	}
	withdrawn := s.design("withdrawn", "m", "a:1", "d")
	withdrawn.Spec.VersionState = v1alpha1.VersionDeprecated
	goes := s.manifest("goes", "a:1")
	goes.Finalizers = []string{"example.com/wait"}
	acme := s.store("acme")
	s.create(acme, s.manifest("m", "a:1"), sealedFirst(s.manifest("sealed", "a:1")), storeScoped(s.manifest("old", "web/nginx:1")),
		s.definition("d", "m", "a"), activeDefinition("ready", "sealed"), withdrawn, goes)
	s.delete(goes)
	// The UID decides which of two stores of the same second is newer.
	s.Eventually(func() time.Duration { return time.Since(acme.CreationTimestamp.Time) }).Should(gomega.BeNumerically(">", time.Second))
	ranged := s.definition("x", "m", "a")
	ranged.Spec.NetworkFunctionTemplate.NetworkFunctionApplications[0].ArtifactProfile.HelmArtifactProfile.HelmPackageVersionRange = "latest"
	depends := s.definition("x", "m", "a")
	depends.Spec.NetworkFunctionTemplate.NetworkFunctionApplications[0].DependsOnProfile = &v1alpha1.DependsOnProfile{InstallDependsOn: []string{"app"}}
	elsewhere := func(o *v1alpha1.ArtifactStore) { o.Spec.Registry.URL = s.registry.URL("elsewhere") }
	app := "spec.networkFunctionTemplate.networkFunctionApplications[0]."
	for name, c := range map[string]struct {
		object client.Object
		// wrong is the refused field, or "" if none is. warns is the beginning of a warning.
		wrong, warns string
	}{
		"Schedule": {s.store("x", elsewhere, func(o *v1alpha1.ArtifactStore) { o.Spec.Purge.Schedule = new("99 * * * *") }), "spec.purge.schedule", ""},
		"TimeZone": {s.store("x", elsewhere, func(o *v1alpha1.ArtifactStore) { o.Spec.Purge.TimeZone = "Local" }), "spec.purge.timeZone", ""},
		"CABundle": {s.store("x", elsewhere, func(o *v1alpha1.ArtifactStore) { o.Spec.Registry.CABundle = []byte("x") }), "spec.registry.caBundle", ""},
		"Capacity": {s.store("x", elsewhere, func(o *v1alpha1.ArtifactStore) { o.Spec.Capacity = new(resource.MustParse("0")) }), "spec.capacity", ""},
		"Target":   {s.store("x", elsewhere, func(o *v1alpha1.ArtifactStore) { o.Spec.Purge.ThresholdPercent, o.Spec.Purge.TargetPercent = 1, 2 }), "spec.purge.targetPercent", ""},
		"Claim": {s.store("x", elsewhere, func(o *v1alpha1.ArtifactStore) {
			o.Spec.Purge.PersistentVolumeClaim = &v1alpha1.LocalReference{Name: "data"}
		}), "", "spec.purge.persistentVolumeClaim has no effect"},
		"Overlap": {s.store("x", func(o *v1alpha1.ArtifactStore) { o.Spec.Registry.URL = s.registry.URL("acme/more") }), "",
			"spec.registry.url overlaps with that of artifactstores/" + s.ns + "/acme: this store does nothing"},
		"SealedFirst":    {sealedFirst(s.manifest("x", "a:1")), "", "spec.artifactManifestState is Uploaded from the start"},
		"Path":           {storeScoped(s.manifest("x", "m/a:1")), "spec.artifacts[0].artifactName", ""},
		"PathAround":     {s.manifest("web", "nginx:1"), "metadata.name", ""},
		"Going":          {s.definition("x", "goes", "a"), app + "artifactProfile.artifactManifestRef.name", ""},
		"Missing":        {s.definition("x", "nowhere", "a"), "", "References objects that do not exist: artifactmanifests/" + s.ns + "/nowhere."},
		"StoreScoped":    {s.definition("x", "old", "a"), "", "References manifests that are still StoreScoped"},
		"OldForm":        {oldForm(s.definition("x", "", "a")), "", "artifactStoreRef is the old form"},
		"Unsealed":       {activeDefinition("x", "m"), app + "artifactProfile.artifactManifestRef.name", ""},
		"Active":         {activeDefinition("x", "sealed"), "", ""},
		"Range":          {ranged, app + "artifactProfile.helmArtifactProfile.helmPackageVersionRange", ""},
		"DependsOn":      {depends, app + "dependsOnProfile.installDependsOn[0]", ""},
		"DesignUnsealed": {activeDesign("x", "m", "ready"), "spec.resourceElementTemplates[0].configuration.artifactProfile.artifactManifestRef.name", ""},
		"DesignPreview":  {activeDesign("x", "sealed", "d"), "spec.resourceElementTemplates[0].configuration.networkFunctionDefinitionVersionRef.name", ""},
		"SiteMissing":    {s.site("x", "", "nowhere"), "", "References objects that do not exist: networkservicedesignversions/" + s.ns + "/nowhere."},
		"SiteDeprecated": {s.site("x", "", "withdrawn"), "spec.networkServiceDesignVersionRef.name", ""},
	} {
		t.Run(name, func(t *testing.T) {
			g := gomega.NewWithT(t)
			warned, asking := s.warned()
			err := asking.Create(t.Context(), c.object, dryRun)
			if c.wrong == "" {
				g.Expect(err).NotTo(gomega.HaveOccurred())
			} else {
				status := statusOf(s, err)
				g.Expect(status.Code).To(gomega.BeEquivalentTo(http.StatusUnprocessableEntity))
				g.Expect(status.Details.Causes).To(gomega.HaveLen(1), "%v", err)
				g.Expect(status.Details.Causes[0].Field).To(gomega.Equal(c.wrong))
			}
			if c.warns == "" {
				g.Expect(warned()).To(gomega.BeEmpty())
			} else {
				g.Expect(warned()).To(gomega.ConsistOf(gomega.HavePrefix(c.warns)))
			}
		})
	}
}

// Removing an entry from a manifest in use is not refused, but the entry is not released.
func TestAnEntryThatLeavesWhileInUseIsWarnedOf(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage(hooked)
	m := s.manifest("m", "a:1", "b:1")
	s.create(s.store("acme"), m, s.definition("d", "m", "a"))
	s.eventually(m, v1alpha1.ConditionReferenced, "True/InUse")
	warned, c := s.warned()
	change := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"artifacts":[{"artifactName":"a","artifactVersion":"1"}]}}`))
	s.Expect(c.Patch(t.Context(), m, change, dryRun)).To(gomega.Succeed())
	s.Expect(warned()).To(gomega.ConsistOf(gomega.And(gomega.HavePrefix("b:1: kept in the registry"), gomega.ContainSubstring("networkfunctiondefinitionversions/"+s.ns+"/d"))))
	s.Expect(c.Patch(t.Context(), m, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"x":"y"}}}`)))).To(gomega.Succeed())
	s.Expect(warned()).To(gomega.BeEmpty())
}

// dryRun runs all checks and stores nothing.
var dryRun = client.DryRunAll

func TestSealingNeedsEveryArtifact(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage(hooked)
	m := s.manifest("m", "a:1", "b:1")
	s.create(s.store("acme"), m)
	s.image("m", "a:1", "a")
	s.Eventually(func() int { s.condition(m, ""); return present(m) }).Should(gomega.Equal(1))
	seal := func() error {
		return env.Client.Patch(t.Context(), m, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"artifactManifestState":"Uploaded"}}`)))
	}
	err := seal()
	s.Expect(statusOf(s, err).Code).To(gomega.BeEquivalentTo(http.StatusUnprocessableEntity))
	s.Expect(err.Error()).To(gomega.ContainSubstring("and these are not: b:1;"))
	s.image("m", "b:1", "b")
	s.eventually(m, v1alpha1.ConditionUploaded, "True/Complete")
	s.Expect(seal()).To(gomega.Succeed())

	// An Active version is immutable, and cannot return to Preview.
	nfdv := s.definition("nfdv", "m", "a")
	nfdv.Spec.VersionState = v1alpha1.VersionActive
	s.create(nfdv)
	patch := func(p string) error {
		return env.Client.Patch(t.Context(), nfdv.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(p)))
	}
	for _, p := range []string{
		`{"spec":{"versionState":"Preview"}}`,
		`{"spec":{"networkFunctionTemplate":{"networkFunctionApplications":[{"name":"other","artifactProfile":{"artifactManifestRef":{"name":"m"},"helmArtifactProfile":{"helmPackageName":"a","helmPackageVersionRange":"~1"}}}]}}}`,
	} {
		s.Expect(statusOf(s, patch(p)).Code).To(gomega.BeEquivalentTo(http.StatusUnprocessableEntity), p)
	}
	for _, p := range []string{`{"spec":{"versionState":"Deprecated"}}`, `{"spec":{"versionState":"Active"}}`, `{"metadata":{"labels":{"a":"b"}}}`} {
		s.Expect(patch(p)).To(gomega.Succeed(), p)
	}
}

// The match conditions compare whole specs, at a cost that the API server limits.
func TestTheLargestManifestIsAskedAbout(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage(hooked)
	var artifacts []string
	for i := range 512 {
		artifacts = append(artifacts, fmt.Sprintf("%s%03d:1", strings.Repeat("a", 200), i))
	}
	m := s.manifest("m", artifacts...)
	s.create(m)
	patch := func(p string) error {
		return env.Client.Patch(t.Context(), m.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(p)))
	}
	s.Expect(patch(`{"metadata":{"labels":{"a":"b"}}}`)).To(gomega.Succeed())
	err := patch(`{"spec":{"artifactManifestState":"Uploaded"}}`)
	s.Expect(statusOf(s, err).Code).To(gomega.BeEquivalentTo(http.StatusUnprocessableEntity))
	s.Expect(err.Error()).To(gomega.ContainSubstring("and 502 more"))
}

func TestApplyingWhatIsGoingSaysHowToRestore(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage(hooked)
	m := s.manifest("m", "a:1")
	m.Finalizers = []string{"example.com/wait"}
	s.create(s.store("acme"), m)
	s.delete(m)
	warned, c := s.warned()
	for _, p := range []string{`{"spec":{"artifacts":[]}}`, `{"metadata":{"labels":{"a":"b"}}}`} {
		s.Expect(c.Patch(t.Context(), m.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(p)))).To(gomega.Succeed(), p)
		s.Expect(warned()).To(gomega.ConsistOf(gomega.HavePrefix("This ArtifactManifest is being deleted. Once it is gone, apply it again")), p)
	}
	s.Expect(c.Patch(t.Context(), m.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`)))).To(gomega.Succeed())
	s.Expect(warned()).To(gomega.BeEmpty())
	s.goes(m)
}

func TestSiteAbroadNeedsUse(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	edge := s.neighbour()
	s.manage(hooked, func(o *environment.ManagerOptions) { o.Namespaces = append(o.Namespaces, edge.ns) })
	user := "operator-of-" + edge.ns
	edge.grant(user, "sites", []string{"*"}, "sitenetworkservices")
	s.create(s.design("n1", "m", "a:1", "d"), s.design("n2", "m", "a:1", "d"))
	jane := s.as(user)
	denied := func(site, design string) string {
		return fmt.Sprintf(`sitenetworkservices.nfo.dev %q is forbidden: user %q cannot use resource "networkservicedesignversions" in API group "nfo.dev" in the namespace %q; grant the verb "use" on networkservicedesignversions/%s/%s`, site, user, s.ns, s.ns, design)
	}
	s.refused(jane.Create(t.Context(), edge.site("edge-1", s.ns, "n1")), http.StatusForbidden, "sitenetworkservices", denied("edge-1", "n1"))
	s.refused(jane.Create(t.Context(), edge.site("edge-1", s.ns, "nowhere")), http.StatusForbidden, "sitenetworkservices", denied("edge-1", "nowhere"))
	s.Expect(jane.Create(t.Context(), edge.site("at-home", "", "none"))).To(gomega.Succeed(), "its own namespace needs no right")

	s.create(
		&rbacv1.Role{ObjectMeta: s.meta("use"), Rules: []rbacv1.PolicyRule{{APIGroups: []string{"nfo.dev"}, Resources: []string{"networkservicedesignversions"}, ResourceNames: []string{"n1"}, Verbs: []string{"use"}}}},
		&rbacv1.RoleBinding{ObjectMeta: s.meta("use"), RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "use"},
			Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}}},
	)
	sns := edge.site("edge-1", s.ns, "n1")
	s.Eventually(func() error { return jane.Create(t.Context(), sns) }).Should(gomega.Succeed(), "the API server learns of a right a moment later")
	other := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"networkServiceDesignVersionRef":{"name":"n2"}}}`))
	s.refused(jane.Patch(t.Context(), sns.DeepCopy(), other), http.StatusForbidden, "sitenetworkservices", denied("edge-1", "n2"))
	label := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"a":"b"}}}`))
	s.Expect(jane.Patch(t.Context(), sns.DeepCopy(), label)).To(gomega.Succeed())
	s.refused(env.Client.Delete(t.Context(), s.design("n1", "", "", "")), http.StatusConflict, "networkservicedesignversions", fmt.Sprintf(
		`The resource 'networkservicedesignversions/%s/n1' has some resources attached to it. The dependent resources are: "sitenetworkservices/%s/edge-1"`, s.ns, edge.ns)+s.next("nsdv", "n1"))
}

func TestOnlyTheOperatorWritesTombstones(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	manager := s.manage(scheduled)
	s.scheduledStore()
	s.releasedImages()
	manager.Stop()
	grave := s.tombstones()[0]
	account := func(ns, name string) client.Client { return s.as("system:serviceaccount:" + ns + ":" + name) }
	s.grant("system:serviceaccount:"+s.ns+":other", "all", []string{"*"}, "tombstones", "tombstones/status")
	ctx := t.Context()
	forge := func() *v1alpha1.Tombstone {
		f := &v1alpha1.Tombstone{ObjectMeta: s.meta("forged"), Spec: *grave.Spec.DeepCopy()}
		f.Spec.Manifest.UID = "forged"
		return f
	}
	edit := func() *v1alpha1.Tombstone {
		e := grave.DeepCopy()
		e.Spec.Artifacts[0].Digests = slices.Insert(e.Spec.Artifacts[0].Digests, 0, "sha256:0")
		return e
	}
	mark := func() *v1alpha1.Tombstone {
		m := grave.DeepCopy()
		m.Status.Artifacts[0].Reason = "because"
		return m
	}
	other := account(s.ns, "other")
	for act, err := range map[string]error{
		"create":        other.Create(ctx, forge(), dryRun),
		"change":        other.Update(ctx, edit(), dryRun),
		"record status": other.Status().Update(ctx, mark(), dryRun),
	} {
		s.Expect(statusOf(s, err).Code).To(gomega.BeEquivalentTo(http.StatusForbidden), "may %s: %v", act, err)
		s.Expect(err.Error()).To(gomega.ContainSubstring("only the operator writes tombstones"), act)
	}
	for name, c := range map[string]client.Client{"who restores a backup": env.Client, "the manager": s.as(environment.ManagerUser), "the purge": account(s.ns, "acme-purge")} {
		s.Expect(c.Create(ctx, forge(), dryRun)).To(gomega.Succeed(), name)
		s.Expect(c.Update(ctx, edit(), dryRun)).To(gomega.Succeed(), name)
		s.Expect(c.Status().Update(ctx, mark(), dryRun)).To(gomega.Succeed(), name)
	}
	change(s, &grave, func(t *v1alpha1.Tombstone) { t.Annotations = map[string]string{v1alpha1.AnnotationExpireNow: "yes"} })
	s.Expect(other.Delete(ctx, &grave)).To(gomega.Succeed(), "an undo can be forgotten")
}

package integration

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/test/environment"
)

// hooked makes a manager serve the webhooks.
func hooked(o *environment.ManagerOptions) { o.Webhooks = true }

// site returns a site that references a design of a publisher.
func (s *scene) site(name, publisher, design string) *v1alpha1.SiteNetworkService {
	o := &v1alpha1.SiteNetworkService{ObjectMeta: s.meta(name)}
	o.Spec.NetworkServiceDesignVersionRef = v1alpha1.DesignReference{Namespace: publisher, Name: design}
	return o
}

// refused checks that the error is the API server's answer to a refusal by one of the product's webhooks.
func (s *scene) refused(err error, code int32, resource, message string) {
	s.t.Helper()
	status := statusOf(s, err)
	s.Expect(status.Code).To(gomega.Equal(code), "%v", err)
	s.Expect(status.Message).To(gomega.Equal(fmt.Sprintf("admission webhook %q denied the request: %s", resource+".nfo.dev", message)))
}

// next returns the end of a refusal, which says what to do.
func (s *scene) next(short, name string) string {
	return fmt.Sprintf(". Delete these objects first, or change what they reference. To see everything that depends on it: kubectl nfo why %s/%s -n %s", short, name, s.ns)
}

func statusOf(s *scene, err error) metav1.Status {
	s.t.Helper()
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		s.t.Fatalf("the API server should refuse; it answers %v", err)
	}
	return status.Status()
}

// refusals counts the events about refused deletions of an object.
func (s *scene) refusals(name string) (n int) {
	for _, e := range s.events(name) {
		if e == "Warning DeletionRefused Deleting" {
			n++
		}
	}
	return n
}

func TestDeletionOfWhatIsHeldIsRefused(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage(hooked)
	m, nfdv := s.manifest("m", "a:1"), s.definition("nfdv", "m", "a")
	store := s.store("acme")
	nsdv, sns := s.design("nsdv", "m", "a:1", "nfdv"), s.site("edge-1", "", "nsdv")
	s.image("m", "a:1", "one")
	s.create(store, m, nfdv, nsdv, sns)
	s.eventually(m, v1alpha1.ConditionReady, "True/Ready")
	s.eventually(nfdv, v1alpha1.ConditionReady, "True/Ready")
	s.eventually(nsdv, v1alpha1.ConditionReady, "True/Ready")
	s.eventually(store, v1alpha1.ConditionReferenced, "True/InUse")
	attached := func(resource, name string) string {
		return fmt.Sprintf("The resource '%s/%s/%s' has some resources attached to it. The dependent resources are: ", resource, s.ns, name)
	}
	for _, c := range []struct {
		object                   client.Object
		resource, short, holders string
	}{
		{store, "artifactstores", "as", fmt.Sprintf(`"artifactmanifests/%s/m"`, s.ns)},
		{m, "artifactmanifests", "am", fmt.Sprintf(`"networkfunctiondefinitionversions/%s/nfdv" (artifact a:1, application app), "networkservicedesignversions/%s/nsdv" (artifact a:1, application site)`, s.ns, s.ns)},
		{nfdv, "networkfunctiondefinitionversions", "nfdv", fmt.Sprintf(`"networkservicedesignversions/%s/nsdv" (application site)`, s.ns)},
		{nsdv, "networkservicedesignversions", "nsdv", fmt.Sprintf(`"sitenetworkservices/%s/edge-1"`, s.ns)},
	} {
		want := attached(c.resource, c.object.GetName()) + c.holders + s.next(c.short, c.object.GetName())
		s.refused(env.Client.Delete(t.Context(), c.object, client.DryRunAll), http.StatusConflict, c.resource, want)
		before := s.version(c.object)
		err := env.Client.Delete(t.Context(), c.object)
		s.refused(err, http.StatusConflict, c.resource, want)
		s.Expect(apierrors.IsConflict(err)).To(gomega.BeTrue())
		s.Expect(s.version(c.object)).To(gomega.Equal(before), "a refused deletion changes nothing")
		s.Expect(c.object.GetDeletionTimestamp()).To(gomega.BeNil())
		s.Eventually(func() int { return s.refusals(c.object.GetName()) }).Should(gomega.BeNumerically(">=", 1), "the refusal is announced")
	}
	s.Expect(env.Client.Delete(t.Context(), sns, client.DryRunAll)).To(gomega.Succeed())
	s.delete(sns, nsdv, nfdv, m, store)
	s.goes(sns, nsdv, nfdv, m, store)
	s.Expect(s.contents()).To(gomega.BeEmpty())
}

// version returns the resourceVersion of a stored object.
func (s *scene) version(o client.Object) string {
	s.t.Helper()
	if err := env.Client.Get(s.t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
		s.t.Fatal(err)
	}
	return o.GetResourceVersion()
}

// chain creates a store and n-1 objects that depend on it, and returns
// them by level. The holders of an object are in later levels.
func (s *scene) chain(n int) (levels [][]client.Object) {
	levels = make([][]client.Object, 5)
	levels[0] = []client.Object{s.store("acme")}
	for i := range (n - 1) / 4 {
		name := fmt.Sprintf("c%02d", i)
		levels[1] = append(levels[1], s.manifest(name))
		levels[2] = append(levels[2], s.definition(name, name, "a"))
		levels[3] = append(levels[3], s.design(name, name, "a:1", name))
		levels[4] = append(levels[4], s.site(name, "", name))
	}
	for _, l := range levels {
		s.create(l...)
	}
	return levels
}

const chainLength = 201

func TestChainHoldersFirstEndsInOneRound(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.SetDefaultEventuallyTimeout(recheck)
	s.manage(hooked)
	levels := s.chain(chainLength)
	for _, level := range slices.Backward(levels) {
		s.delete(level...)
	}
	s.goes(slices.Concat(levels...)...)
}

func TestChainInAnyOrderEndsInAsManyRoundsAsLevels(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.SetDefaultEventuallyTimeout(recheck)
	s.manage(hooked)
	all := slices.Concat(s.chain(chainLength)...) // subjects first, which is the worst order
	rounds := 0
	for left := all; len(left) > 0; rounds++ {
		if rounds == 5 {
			t.Fatalf("%d objects are refused still after as many rounds as there are levels", len(left))
		}
		var again []client.Object
		for _, o := range left {
			err := env.Client.Delete(t.Context(), o)
			if apierrors.IsConflict(err) {
				again = append(again, o)
			} else if client.IgnoreNotFound(err) != nil {
				t.Fatal(err)
			}
		}
		left = again
	}
	s.goes(all...)
	t.Logf("%d objects went in %d rounds", len(all), rounds)
}

func TestNamespaceWithAChainGoes(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.SetDefaultEventuallyTimeout(recheck)
	abroad := s.neighbour()
	s.manage(hooked, func(o *environment.ManagerOptions) { o.Namespaces = append(o.Namespaces, abroad.ns) })
	levels := s.chain(41)
	held := levels[3][9] // the API server stops deleting a collection at the first refusal
	holder := abroad.site("abroad", s.ns, held.GetName())
	s.create(holder)
	started := time.Now()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.ns}}
	s.delete(ns)
	s.Eventually(func() bool { return s.gone(levels[3][0]) && s.gone(levels[4][0]) }).Should(gomega.BeTrue(), "its own holders refuse nothing")
	err := env.Client.Delete(t.Context(), held)
	s.refused(err, http.StatusConflict, "networkservicedesignversions", fmt.Sprintf(
		`The resource 'networkservicedesignversions/%s/c09' has some resources attached to it. The dependent resources are: "sitenetworkservices/%s/abroad"`, s.ns, abroad.ns)+s.next("nsdv", "c09"))
	s.delete(holder)
	s.goes(holder)
	s.Eventually(func() bool { return s.gone(ns) }).Should(gomega.BeTrue(), func() string { return s.reported() })
	s.goes(slices.Concat(levels...)...)
	t.Logf("the namespace with %d objects went in %s", len(slices.Concat(levels...)), time.Since(started).Round(time.Second))
}

// The server has ended and the webhook configuration still exists: objects are not deleted unchecked,
// finalizers can still be removed, and deleting the configuration makes deletions possible again.
func TestI12WebhooksWithoutAServer(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	manager := s.manage(hooked)
	store, m, nfdv := s.store("acme"), s.manifest("m", "a:1"), s.definition("nfdv", "m", "a")
	s.create(store, m, nfdv)
	s.eventually(m, v1alpha1.ConditionReferenced, "True/InUse")
	s.eventually(nfdv, v1alpha1.ConditionResolved, "True/Resolved")
	s.eventually(store, v1alpha1.ConditionReferenced, "True/InUse")
	manager.Stop()
	for _, o := range []client.Object{m, nfdv, store} {
		err := env.Client.Delete(t.Context(), o)
		s.Expect(statusOf(s, err).Code).To(gomega.BeEquivalentTo(http.StatusInternalServerError))
		s.Expect(err.Error()).To(gomega.ContainSubstring("failed calling webhook"))
		s.Expect(s.gone(o)).To(gomega.BeFalse())
	}
	free := []byte(`{"metadata":{"finalizers":null}}`)
	for _, o := range []client.Object{m, nfdv, store} {
		s.Expect(env.Client.Patch(t.Context(), o, client.RawPatch(types.MergePatchType, free))).To(gomega.Succeed(), "metadata alone is not asked about")
	}
	change(s, m, func(m *v1alpha1.ArtifactManifest) {
		m.Annotations = map[string]string{v1alpha1.AnnotationOnDelete: v1alpha1.OnDeleteOrphan}
	})
	s.delete(&admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: manager.Webhooks}})
	for _, o := range []client.Object{m, nfdv, store} {
		s.Eventually(func() error { return client.IgnoreNotFound(env.Client.Delete(t.Context(), o)) }).Should(gomega.Succeed())
		s.goes(o)
	}
}

// An object waits for its finalizer while the server is down.
func TestI12FinalizersOfWhatIsGoingCanBeRemoved(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	manager := s.manage(hooked)
	store, m := s.store("acme"), s.manifest("m", "a:1")
	m.Finalizers = []string{"example.com/wait"}
	s.create(store, m)
	s.eventually(m, v1alpha1.ConditionUploaded, "False/Missing")
	s.delete(m)
	s.Eventually(func() string { return s.condition(m, v1alpha1.ConditionDeletionBlocked) }).Should(gomega.Equal("False/Released"))
	manager.Stop()
	patch := []byte(`{"metadata":{"finalizers":null}}`)
	s.Expect(env.Client.Patch(t.Context(), m, client.RawPatch(types.MergePatchType, patch))).To(gomega.Succeed())
	s.goes(m)
}

func TestStoreWithTombstonesGoesWithAWarning(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage(hooked)
	store := s.store("acme")
	s.create(store)
	s.eventually(store, v1alpha1.ConditionReady, "True/Ready")
	s.releasedImages()
	s.Eventually(func() int32 { s.condition(store, ""); return *store.Status.Tombstones }).Should(gomega.Equal(int32(1)))
	warned, c := s.warned()
	s.Expect(c.Delete(t.Context(), store)).To(gomega.Succeed())
	s.Expect(warned()).To(gomega.ConsistOf(gomega.HavePrefix("Tombstones left behind: 1. They wait for a store of the same URL")))
	s.goes(store)
	s.Expect(s.tombstones()).To(gomega.HaveLen(1))
}

// A terminating holder does not refuse; the finalizer waits for it.
func TestHolderThatIsGoingDoesNotRefuse(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage(hooked)
	m, nfdv := s.manifest("m", "a:1"), s.definition("nfdv", "m", "a")
	nfdv.Finalizers = []string{"example.com/wait"}
	s.create(s.store("acme"), m, nfdv)
	s.eventually(m, v1alpha1.ConditionReferenced, "True/InUse")
	s.Expect(apierrors.IsConflict(env.Client.Delete(t.Context(), m))).To(gomega.BeTrue())
	s.delete(nfdv, m)
	s.says(m, v1alpha1.ConditionDeletionBlocked, "True/InUse", "itself being deleted")
	s.Expect(env.Client.Delete(t.Context(), m)).To(gomega.Succeed(), "the second deletion of what is going")
	change(s, nfdv, func(o *v1alpha1.NetworkFunctionDefinitionVersion) {
		o.Finalizers = slices.DeleteFunc(o.Finalizers, func(f string) bool { return strings.HasPrefix(f, "example.com/") })
	})
	s.goes(nfdv, m)
}

// Every replica answers the webhooks, also one that is not the leader and runs no controller.
func TestReplicasThatDoNotLeadAnswerToo(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	elected := func(o *environment.ManagerOptions) { o.Elect = true }
	s.manage(elected)
	m, nfdv := s.manifest("m", "a:1"), s.definition("nfdv", "m", "a")
	s.create(s.store("acme"), m, nfdv)
	s.eventually(nfdv, v1alpha1.ConditionResolved, "True/Resolved") // there is a leader
	s.manage(hooked, elected)
	err := env.Client.Delete(t.Context(), m)
	s.Expect(apierrors.IsConflict(err)).To(gomega.BeTrue(), "%v", err)
	s.Eventually(func() int { return s.refusals("m") }).Should(gomega.BeNumerically(">=", 1))
	warned, c := s.warned()
	s.Expect(c.Create(t.Context(), s.store("same"), dryRun)).To(gomega.Succeed())
	s.Expect(warned()).To(gomega.ConsistOf(gomega.ContainSubstring("overlaps with that of artifactstores/" + s.ns + "/acme")))
}

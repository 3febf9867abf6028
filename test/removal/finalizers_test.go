package removal

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onsi/gomega"
	"golang.org/x/sync/errgroup"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/test/environment"
)

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// before returns a transport that calls do before it sends each request.
func before(do func(*http.Request)) environment.Transport {
	return func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			do(r)
			return next.RoundTrip(r)
		})
	}
}

// one returns an object of each kind that can have the finalizer.
func (s *scene) one(finalizers ...string) map[string]client.Object {
	design := &v1alpha1.NetworkServiceDesignVersion{ObjectMeta: s.meta("nsdv", finalizers...)}
	design.Spec.ResourceElementTemplates = []v1alpha1.ResourceElementTemplate{{
		Name: "site", Type: v1alpha1.ArmResourceDefinition,
		Configuration: v1alpha1.ResourceElementConfiguration{ArtifactProfile: &v1alpha1.TemplateArtifactProfile{
			ArtifactSource: v1alpha1.ArtifactSource{ArtifactManifestRef: &v1alpha1.LocalReference{Name: "m"}}, ArtifactName: "a", ArtifactVersion: "1",
		}},
	}}
	return map[string]client.Object{
		"artifactstores": s.store("acme", finalizers...), "artifactmanifests": s.manifest("m", finalizers...),
		"networkfunctiondefinitionversions": s.definition("nfdv", "m", finalizers...),
		"networkservicedesignversions":      design, "sitenetworkservices": s.site("sns", finalizers...),
	}
}

// The manager has ended, no server answers its webhooks, and the objects that are
// being deleted wait for their holders. Removal must still remove the finalizers.
func TestI12WhatADeadManagerHeldIsLetGo(t *testing.T) {
	s := newScene(t)
	all := s.one(v1alpha1.Finalizer)
	for _, o := range all {
		s.create(o)
		if _, stays := o.(*v1alpha1.SiteNetworkService); !stays {
			s.delete(o)
			s.Expect(s.read(o)).To(gomega.BeTrue())
		}
	}
	s.unserved()
	_, err := s.remove()
	s.Expect(err).NotTo(gomega.HaveOccurred())
	for kind, o := range all {
		s.Expect(s.read(o)).To(gomega.Equal(kind == "sitenetworkservices"), kind)
	}
	s.Expect(s.registry.Requests()).To(gomega.BeEmpty())
	s.create(s.store("another")) // nobody is asked any more
}

// Another client changes each object between the time when the removal reads it and the
// time when it writes it. The other client's finalizer and annotation must not be lost.
func TestOthersFinalizersAreKept(t *testing.T) {
	s := newScene(t)
	all := s.one(v1alpha1.Finalizer)
	for _, o := range all {
		s.create(o)
	}
	var mu sync.Mutex
	written := map[string]bool{}
	_, err := s.remove(func(r *remover) {
		r.through = before(func(req *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			for resource, o := range all {
				if req.Method == http.MethodPatch && strings.Contains(req.URL.Path, resource) && !written[resource] {
					written[resource] = true
					theirs := fmt.Sprintf(`{"metadata":{"finalizers":[%q,%q],"annotations":{"theirs":"yes"}}}`, v1alpha1.Finalizer, foreign)
					if err := env.Client.Patch(t.Context(), o, client.RawPatch("application/merge-patch+json", []byte(theirs))); err != nil {
						t.Error(err)
					}
				}
			}
		})
	})
	s.Expect(err).NotTo(gomega.HaveOccurred())
	s.Expect(written).To(gomega.HaveLen(len(all)))
	for kind, o := range all {
		s.Expect(s.finalizers(o)).To(gomega.Equal([]string{foreign}), kind)
		s.Expect(o.GetAnnotations()).To(gomega.HaveKeyWithValue("theirs", "yes"), kind)
	}
}

// many creates n sites with the finalizer.
func (s *scene) many(n int) {
	s.t.Helper()
	var work errgroup.Group
	work.SetLimit(16)
	for i := range n {
		work.Go(func() error {
			return env.Client.Create(s.t.Context(), s.site(fmt.Sprintf("s-%d", i), v1alpha1.Finalizer))
		})
	}
	if err := work.Wait(); err != nil {
		s.t.Fatal(err)
	}
}

// held counts the finalizers of all sites.
func (s *scene) held() (n int) {
	s.t.Helper()
	var all v1alpha1.SiteNetworkServiceList
	if err := env.Client.List(s.t.Context(), &all); err != nil {
		s.t.Fatal(err)
	}
	for _, o := range all.Items {
		n += len(o.Finalizers)
	}
	return n
}

// A removal of many objects is interrupted. The list of the next one expires halfway, and it starts the list again.
func TestManyObjectsAreReadInPages(t *testing.T) {
	s := newScene(t)
	s.many(1200)
	_, err := s.remove(func(r *remover) {
		ctx, stop := context.WithCancel(t.Context())
		r.ctx = ctx
		r.on["finalizers: 500 of 1200 sitenetworkservices, 500 removed\n"] = stop
	})
	s.Expect(err).To(gomega.MatchError("finalizers: stopped at sitenetworkservices: context canceled; run this again"))
	s.Expect(s.held()).To(gomega.Equal(700))

	var lists, expired atomic.Int32
	said, err := s.remove(func(r *remover) {
		r.through = func(next http.RoundTripper) http.RoundTripper {
			return roundTripper(func(req *http.Request) (*http.Response, error) {
				if req.Method != http.MethodGet || !strings.HasSuffix(req.URL.Path, "/sitenetworkservices") {
					return next.RoundTrip(req)
				}
				lists.Add(1)
				s.Expect(req.URL.Query().Get("limit")).To(gomega.Equal("500"))
				if req.URL.Query().Get("continue") != "" && expired.CompareAndSwap(0, 1) {
					return gone(req)
				}
				return next.RoundTrip(req)
			})
		}
	})
	s.Expect(err).NotTo(gomega.HaveOccurred())
	s.Expect(said).To(gomega.ContainSubstring(strings.Join([]string{
		"finalizers: 500 of 1200 sitenetworkservices, 0 removed",
		"finalizers: 500 of 1200 sitenetworkservices, 0 removed",
		"finalizers: 1000 of 1200 sitenetworkservices, 500 removed",
		"finalizers: 1200 of 1200 sitenetworkservices, 700 removed", "",
	}, "\n")))
	s.Expect(s.held()).To(gomega.BeZero())
	s.Expect(lists.Load()).To(gomega.BeEquivalentTo(5), "two before the list was begun anew, three after")
}

// gone returns the API server's answer to a list whose continue token has expired.
func gone(req *http.Request) (*http.Response, error) {
	status := apierrors.NewResourceExpired("the provided continue parameter is too old").Status()
	status.Kind, status.APIVersion = "Status", "v1"
	body, err := json.Marshal(status)
	return &http.Response{
		StatusCode: int(status.Code), Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(bytes.NewReader(body)), Request: req,
	}, err
}

// A user who may not list or not patch one kind gets an error for it, and the finalizers of all other kinds are removed.
func TestOneKindThatIsDeniedStopsNoOther(t *testing.T) {
	s := newScene(t)
	all := s.one(v1alpha1.Finalizer)
	for _, o := range all {
		s.create(o)
	}
	said, err := s.remove(s.without(func(resource, verb string) bool {
		return resource == "sitenetworkservices" || resource == "artifactstores" && verb == "patch"
	}))
	s.Expect(err).To(gomega.MatchError(gomega.And(
		gomega.ContainSubstring("sitenetworkservices.nfo.dev is forbidden"), gomega.ContainSubstring("kubectl edit sitenetworkservices.nfo.dev"),
		gomega.ContainSubstring(s.ns+"/acme"), gomega.ContainSubstring(`artifactstores.nfo.dev "acme" is forbidden`))))
	s.Expect(said).To(gomega.ContainSubstring("finalizers: 0 of 1 artifactstores, 0 removed\n"))
	for kind, o := range all {
		want := []string{v1alpha1.Finalizer}
		if kind != "sitenetworkservices" && kind != "artifactstores" {
			want = nil
		}
		s.Expect(s.finalizers(o)).To(gomega.Equal(want), kind)
	}
	_, err = s.remove()
	s.Expect(err).NotTo(gomega.HaveOccurred(), "anyone who may goes on")
	s.Expect(s.held()).To(gomega.BeZero())
}

// without makes the removal run as a user who lacks some rights of the remover.
func (s *scene) without(lacks func(resource, verb string) bool) func(*remover) {
	s.t.Helper()
	user := "remover-of-" + s.ns
	var role rbacv1.ClusterRole
	if err := env.Client.Get(s.t.Context(), client.ObjectKey{Name: "nfo-remover"}, &role); err != nil {
		s.t.Fatal(err)
	}
	lesser := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: user}}
	for _, rule := range role.Rules {
		for _, resource := range rule.Resources {
			r := rule
			r.Resources = []string{resource}
			r.Verbs = slices.DeleteFunc(slices.Clone(rule.Verbs), func(verb string) bool { return lacks(resource, verb) })
			if len(r.Verbs) > 0 {
				lesser.Rules = append(lesser.Rules, r)
			}
		}
	}
	subjects := []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}}
	everywhere := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: user}, Subjects: subjects}
	everywhere.RoleRef = rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: user}
	here := &rbacv1.RoleBinding{ObjectMeta: inManagerNamespace(user), Subjects: subjects}
	here.RoleRef = rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "nfo-remover"}
	s.create(lesser, everywhere, here)
	s.t.Cleanup(func() { s.forget(lesser, everywhere, here) })
	return func(r *remover) { r.user = user }
}

func TestI8ADryRunWritesNothing(t *testing.T) {
	s := newScene(t)
	all := s.one(v1alpha1.Finalizer)
	for _, o := range all {
		s.create(o)
	}
	s.purgeObjects(all["artifactstores"].(*v1alpha1.ArtifactStore))
	s.runs("acme")
	s.deploy()
	s.bind(v1alpha1.ManagerNamespace)
	s.unserved()
	s.settled()
	before, writes := s.versions(), atomic.Int32{}
	said, err := s.remove(func(r *remover) {
		r.DryRun = true
		r.through = writesTo(&writes)
	})
	s.Expect(err).NotTo(gomega.HaveOccurred())
	s.Expect(writes.Load()).To(gomega.BeZero())
	s.Expect(s.versions()).To(gomega.Equal(before))
	for _, line := range []string{
		"webhooks: would be deleted: ValidatingWebhookConfiguration nfo-validating\n",
		"manager: would be scaled to 0: Deployment nfo-system/nfo-manager\n",
		"manager: would be waited for: pod nfo-system/nfo-manager-",
		"purges: would be suspended: CronJob " + s.ns + "/acme-purge\n",
		"purges: would be waited for: Job " + s.ns + "/now\n",
		"purges: would be deleted: ServiceAccount " + s.ns + "/acme-purge (1 of 1)\n",
		"manager: would be deleted: Secret nfo-system/nfo-webhook-certificate, if it is there\n",
		"finalizers: 1 of 1 artifactstores, 1 would be removed\n",
		"done: nothing was changed\n",
	} {
		s.Expect(said).To(gomega.ContainSubstring(line))
	}
}

// settled waits until the cluster's controllers have written nothing for two seconds.
func (s *scene) settled() {
	s.t.Helper()
	var last map[string]string
	s.Eventually(func() bool {
		before := last
		last = s.versions()
		return maps.Equal(before, last)
	}).WithPolling(2 * time.Second).Should(gomega.BeTrue())
}

func writesTo(n *atomic.Int32) environment.Transport {
	return before(func(r *http.Request) {
		if r.Method != http.MethodGet {
			n.Add(1)
		}
	})
}

func TestAClusterWithoutOurKinds(t *testing.T) {
	s := newScene(t)
	m := s.manifest("m", v1alpha1.Finalizer)
	s.create(m)
	crds := &unstructured.UnstructuredList{}
	crds.SetAPIVersion("apiextensions.k8s.io/v1")
	crds.SetKind("CustomResourceDefinitionList")
	if err := env.Client.List(t.Context(), crds); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.reinstall)
	// First one kind is missing, then all are.
	s.deleteCRDs(crds.Items, func(name string) bool { return name == "sitenetworkservices.nfo.dev" })
	said, err := s.remove()
	s.Expect(err).NotTo(gomega.HaveOccurred())
	s.Expect(said).To(gomega.ContainSubstring("there are no SiteNetworkService.nfo.dev in this cluster\n"))
	s.Expect(s.finalizers(m)).To(gomega.BeEmpty())
	s.deleteCRDs(crds.Items, func(name string) bool { return name != "sitenetworkservices.nfo.dev" })
	said, err = s.remove()
	s.Expect(err).NotTo(gomega.HaveOccurred())
	s.Expect(strings.Count(said, "in this cluster")).To(gomega.Equal(5))
}

func (s *scene) deleteCRDs(all []unstructured.Unstructured, which func(name string) bool) {
	s.t.Helper()
	for _, crd := range all {
		if !which(crd.GetName()) {
			continue
		}
		s.delete(&crd)
		s.Eventually(func() bool { return s.read(&crd) }).Should(gomega.BeFalse())
	}
}

package integration

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/place"
	"github.com/nfo-operator/nfo/internal/purge"
	"github.com/nfo-operator/nfo/test/environment"
)

// placed makes a manager for the scenes' namespaces with a list of places
// that reserves the scene's registry, or a prefix in it, for a namespace.
func (s *scene) placed(prefix, namespace string, others ...*scene) func(*environment.ManagerOptions) {
	s.t.Helper()
	rules, err := place.Parse(fmt.Appendf(nil, "places: [{registry: '%s', namespaces: [%s]}]", strings.TrimSuffix(s.registry.Host+"/"+prefix, "/"), namespace))
	if err != nil {
		s.t.Fatal(err)
	}
	return func(o *environment.ManagerOptions) {
		scheduled(o)
		o.Places = rules
		for _, other := range others {
			o.Namespaces = append(o.Namespaces, other.ns)
		}
	}
}

// refusedPurge runs a purge of the store "acme" that must be refused.
func (s *scene) refusedPurge(reason string) {
	s.t.Helper()
	_, err := s.purge(s.t.Context(), false, nil)
	s.Expect(errors.Is(err, purge.ErrRefused)).To(gomega.BeTrue(), "%v", err)
	s.Expect(err.Error()).To(gomega.ContainSubstring(reason))
}

func TestAPlaceOfAnotherNamespaceIsRefused(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	other := s.neighbour()
	open := s.manage(scheduled)
	early := s.scheduledStore(noGrace) // before a list exists
	a, b := s.releasedImages()
	stays, kept := s.manifest("stays", "a:1"), s.image("stays", "a:1", "stays").Digest.String()
	s.create(stays)
	s.eventually(stays, v1alpha1.ConditionUploaded, "True/Complete")
	open.Stop()

	before := s.contents()
	s.manage(s.placed("acme", other.ns, other), func(o *environment.ManagerOptions) { o.Webhooks = true })
	s.says(early, v1alpha1.ConditionReady, "False/PlaceRefused", "is reserved for namespace "+other.ns, "ask an administrator to add namespace "+s.ns)
	s.eventually(early, v1alpha1.ConditionPurgeHealthy, "Unknown/PlaceRefused")
	s.says(stays, v1alpha1.ConditionReady, "False/StoreNotReady", "PlaceRefused")
	s.registry.Forget()
	s.refusedPurge(v1alpha1.ReasonPlaceRefused)

	for name, o := range map[string]*v1alpha1.ArtifactStore{
		"Equal": s.storeAt("acme"), "Below": s.storeAt("acme/team"), "Above": s.storeAt(""), "Spelt": s.store("acme", func(o *v1alpha1.ArtifactStore) {
			o.Spec.Registry.URL = strings.Replace(s.registry.URL("acme"), "127.0.0.1", "LOCALHOST", 1)
		}),
	} {
		o.Name = "late"
		err := env.Client.Create(t.Context(), o)
		s.Expect(err).To(gomega.MatchError(gomega.ContainSubstring("reserved for namespace "+other.ns)), name)
	}
	s.Expect(env.Client.Get(t.Context(), client.ObjectKeyFromObject(early), early)).To(gomega.Succeed())
	early.Spec.Purge.Suspend = true
	s.Expect(env.Client.Update(t.Context(), early)).To(gomega.MatchError(gomega.ContainSubstring("reserved for namespace " + other.ns)))

	s.delete(stays)
	s.goes(stays)
	s.delete(early)
	s.goes(early)
	s.Expect(s.registry.Requests()).To(gomega.BeEmpty(), "nothing is asked of a place of others")
	s.Expect(s.contents()).To(gomega.Equal(before))
	for repo, digest := range map[string]string{repository("m", "a"): a, repository("m", "b"): b, repository("stays", "a"): kept} {
		s.Expect(s.at(repo, digest)).To(gomega.Equal(digest))
	}
	other.create(other.storeAt("acme/team"))
	other.eventually(other.store("acme"), v1alpha1.ConditionReady, "True/Ready")
}

func TestTheRightfulNamespaceWins(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	evil := s.neighbour()
	both := func(o *environment.ManagerOptions) { scheduled(o); o.Namespaces = []string{s.ns, evil.ns} }
	open := s.manage(both)
	squatter, squats := evil.store("acme"), evil.manifest("m", "a:1")
	evil.create(squatter, squats)
	evil.eventually(squatter, v1alpha1.ConditionReady, "True/Ready")
	s.image("m", "a:1", "a")
	mine, m := s.store("acme"), s.manifest("m", "a:1")
	s.create(mine, m)
	s.eventually(mine, v1alpha1.ConditionReady, "False/PathConflict")
	open.Stop()

	listed := s.manage(s.placed("", s.ns, evil))
	evil.eventually(squatter, v1alpha1.ConditionReady, "False/PlaceRefused")
	s.eventually(mine, v1alpha1.ConditionReady, "True/Ready")
	s.eventually(m, v1alpha1.ConditionUploaded, "True/Complete")
	evil.refusedPurge(v1alpha1.ReasonPlaceRefused)
	s.delete(m)
	s.goes(m)
	s.Expect(s.contents()).To(gomega.BeEmpty(), "what a squatter lists keeps nothing")
	s.Expect(s.tombstones()).To(gomega.HaveLen(1))
	listed.Stop()

	s.manage(both)
	evil.eventually(squatter, v1alpha1.ConditionReady, "False/PathConflict")
	s.eventually(mine, v1alpha1.ConditionReady, "True/Ready")
}

func TestOneRegistryUnderTwoNames(t *testing.T) {
	t.Parallel()
	t.Run("Known", func(t *testing.T) {
		t.Parallel()
		s := newScene(t)
		other := s.neighbour()
		s.manage(func(o *environment.ManagerOptions) { o.Namespaces = append(o.Namespaces, other.ns) })
		first := s.storeAt("acme")
		s.create(first)
		s.eventually(first, v1alpha1.ConditionReady, "True/Ready")
		second := other.storeAt("acme/team")
		second.Spec.Registry.URL = strings.Replace(second.Spec.Registry.URL, "127.0.0.1", "localhost", 1)
		other.create(second)
		other.says(second, v1alpha1.ConditionReady, "False/PathConflict", s.ns+"/acme")
	})
	t.Run("Addresses", func(t *testing.T) {
		t.Parallel()
		s := newScene(t)
		sharedRegistry(s, s.neighbour())
	})
}

// sharedRegistry tests two publishers of one registry under two names that only the addresses show to be the same.
func sharedRegistry(s, other *scene) {
	s.t.Helper()
	first, second := s.named(s.ns+".example.com", noGrace), other.named(other.ns+".example.com", noGrace)
	through := both(s.aliased(s.ns+".example.com"), s.aliased(other.ns+".example.com"))
	options := func(o *environment.ManagerOptions) {
		scheduled(o)
		o.Namespaces, o.Registry = []string{s.ns, other.ns}, through
		o.Lookup = func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("192.0.2.1")}, nil
		}
	}
	open := s.manage(options)
	d, gone := s.image("m", "a:1", "a").Digest.String(), s.image("gone", "a:1", "gone").Digest.String()
	m, theirs, leaves := s.manifest("m", "a:1"), other.manifest("m", "a:1"), s.manifest("gone", "a:1")
	s.create(first, m, leaves)
	s.eventually(first, v1alpha1.ConditionPurgeHealthy, "True/Scheduled")
	s.eventually(leaves, v1alpha1.ConditionUploaded, "True/Complete")
	s.delete(leaves)
	s.goes(leaves)
	other.create(second)
	// The two stores have no repository in common yet.
	other.eventually(second, v1alpha1.ConditionPurgeHealthy, "True/Scheduled")
	other.create(theirs)
	other.says(second, v1alpha1.ConditionPurgeHealthy, "False/MayShareRegistry", s.ns+"/acme", "192.0.2.1:80", repository("m", "a"), "delete one of the two stores")
	s.says(first, v1alpha1.ConditionPurgeHealthy, "False/MayShareRegistry", other.ns+"/acme")
	for _, o := range []*scene{s, other} {
		o.eventually(o.store("acme"), v1alpha1.ConditionReady, "True/Ready")
		_, err := o.purge(s.t.Context(), false, through)
		s.Expect(errors.Is(err, purge.ErrRefused)).To(gomega.BeTrue(), "%v", err)
		s.Expect(err.Error()).To(gomega.ContainSubstring(v1alpha1.ReasonMayShareRegistry))
	}
	other.eventually(theirs, v1alpha1.ConditionUploaded, "True/Complete")
	s.delete(m)
	s.goes(m)
	s.Expect(s.at(repository("m", "a"), "1")).To(gomega.Equal(d), "the other publisher lists it")
	s.Expect(s.at(repository("gone", "a"), gone)).To(gomega.Equal(gone), "no purge has begun")

	// An administrator reserves one of the names: then another name can no longer delay the clean-up of that store.
	open.Stop()
	rules, err := place.Parse(fmt.Appendf(nil, "places: [{registry: %s.example.com, namespaces: [%s]}]", s.ns, s.ns))
	s.Expect(err).NotTo(gomega.HaveOccurred())
	s.manage(options, func(o *environment.ManagerOptions) { o.Places = rules })
	s.eventually(first, v1alpha1.ConditionPurgeHealthy, "True/Scheduled")
	_, err = s.purge(s.t.Context(), false, through)
	s.Expect(err).NotTo(gomega.HaveOccurred())
	s.Expect(s.at(repository("gone", "a"), gone)).To(gomega.BeEmpty())
	s.Expect(s.at(repository("m", "a"), "1")).To(gomega.Equal(d), "it has a tag")
}

// named returns the store "acme" under a host that aliased sends to the registry.
func (s *scene) named(host string, change ...func(*v1alpha1.ArtifactStore)) *v1alpha1.ArtifactStore {
	o := s.store("acme", change...)
	o.Spec.Registry.URL = "http://" + host + "/acme"
	return o
}

// both combines two transports.
func both(a, b environment.Transport) environment.Transport {
	return func(base http.RoundTripper) http.RoundTripper { return a(b(base)) }
}

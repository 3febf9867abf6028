package integration

import (
	"net/http"
	"testing"

	"github.com/onsi/gomega"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/purge"
	"github.com/nfo-operator/nfo/test/environment"
)

// With the defaults of its command line, the manager does not connect to any address of its own machine.
func TestLoopbackRegistriesAreRefused(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	mgr := s.manage(func(o *environment.ManagerOptions) { o.RefuseLoopback = true })
	store, m := s.store("acme"), s.manifest("m", "a:1")
	s.image("m", "a:1", "one")
	before := s.contents()
	s.create(store, m)
	s.says(store, v1alpha1.ConditionReachable, "False/"+v1alpha1.ReasonAddressRefused, "is a loopback address", "--allow-loopback-registries")
	s.says(m, v1alpha1.ConditionUploaded, "Unknown/"+v1alpha1.ReasonAddressRefused, "is a loopback address")
	s.delete(m)
	s.says(m, v1alpha1.ConditionDeletionBlocked, "True/"+v1alpha1.ReasonAddressRefused, "is a loopback address")
	s.Expect(s.contents()).To(gomega.Equal(before), "what is refused is not what does not exist")
	mgr.Stop()
	s.manage()
	s.eventually(store, v1alpha1.ConditionReachable, "True/Reachable")
	s.goes(m)
}

// A purge is another process than the manager, and must refuse loopback addresses too.
func TestLoopbackRegistriesAreRefusedByPurges(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage()
	store, m := s.store("acme"), s.manifest("m", "a:1")
	s.image("m", "a:1", "one")
	s.create(store, m)
	s.eventually(m, v1alpha1.ConditionUploaded, "True/Complete")
	s.delete(m)
	s.goes(m)
	cfg := purge.Config{Namespace: s.ns, Store: "acme", DryRun: true, Client: env.Client, Identity: "by-hand"}
	_, err := purge.Run(t.Context(), cfg)
	s.Expect(err).To(gomega.MatchError(gomega.ContainSubstring("is a loopback address")))
	cfg.AllowLoopback = true
	_, err = purge.Run(t.Context(), cfg)
	s.Expect(err).NotTo(gomega.HaveOccurred())
}

// The content behind a redirect must not reach a condition, where a tenant could read it.
func TestRedirectsToTheLinkAreRefused(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.registry.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		http.Redirect(w, r, "http://169.254.169.254/latest/meta-data/", http.StatusTemporaryRedirect)
		return true
	})
	s.manage()
	store := s.store("acme")
	s.create(store)
	s.says(store, v1alpha1.ConditionReachable, "False/"+v1alpha1.ReasonAddressRefused, "169.254.169.254 is a cloud's metadata service")
	s.registry.Intercept(nil)
	s.eventually(store, v1alpha1.ConditionReachable, "True/Reachable")
}

package integration

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordinationv1client "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/purge"
	"github.com/nfo-operator/nfo/internal/purge/cronjob"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
	"github.com/nfo-operator/nfo/test/environment"
)

const purgerImage = "registry.example.com/nfo:test"

// noGrace makes releases of a store purgeable at once.
func noGrace(s *v1alpha1.ArtifactStore) { s.Spec.Purge.GracePeriod = metav1.Duration{} }

func scheduled(o *environment.ManagerOptions) { o.PurgerImage = purgerImage }

// purge runs `nfo purge` for the store "acme" with the identity that the manager made
// for it. If not nil, through wraps the transports to the API server and the registry.
func (s *scene) purge(ctx context.Context, dryRun bool, through environment.Transport) (purge.Report, error) {
	s.t.Helper()
	cfg, err := env.PurgeOf(client.ObjectKey{Namespace: s.ns, Name: "acme"}, through)
	if err != nil {
		s.t.Fatal(err)
	}
	cfg.DryRun, cfg.SecondLook = dryRun, time.Second
	if through != nil {
		cfg.Open = func(_ context.Context, st *v1alpha1.ArtifactStore) (purge.Registry, error) {
			l, err := st.Location()
			if err != nil {
				return nil, err
			}
			return registry.Open(registry.Config{Location: l, Transport: through})
		}
	}
	return purge.Run(ctx, cfg)
}

// verdicts returns the reasons of a report by digest.
func verdicts(r purge.Report) map[string]string {
	out := map[string]string{}
	for _, v := range r.Verdicts {
		out[string(v.Digest)] = string(v.Reason)
	}
	return out
}

// scheduledStore creates the store "acme" and waits until its purge has a CronJob.
func (s *scene) scheduledStore(change ...func(*v1alpha1.ArtifactStore)) *v1alpha1.ArtifactStore {
	s.t.Helper()
	st := s.store("acme", change...)
	s.create(st)
	s.eventually(st, v1alpha1.ConditionReady, "True/Ready")
	s.Eventually(func() error {
		return env.Client.Get(s.t.Context(), client.ObjectKey{Namespace: s.ns, Name: "acme-purge"}, &batchv1.CronJob{})
	}).Should(gomega.Succeed())
	return st
}

// ages waits until every new object is newer than o, whose age is in whole seconds.
func (s *scene) ages(o client.Object) {
	s.t.Helper()
	s.Eventually(func() bool { return time.Now().Truncate(time.Second).After(o.GetCreationTimestamp().Time) }).Should(gomega.BeTrue())
}

// releasedImages pushes the artifacts a:1 and b:1, creates a manifest with them, deletes it and returns their digests.
func (s *scene) releasedImages() (a, b string) {
	s.t.Helper()
	a, b = s.image("m", "a:1", "a").Digest.String(), s.image("m", "b:1", "b").Digest.String()
	m := s.manifest("m", "a:1", "b:1")
	s.create(m)
	s.eventually(m, v1alpha1.ConditionUploaded, "True/Complete")
	s.delete(m)
	s.goes(m)
	return a, b
}

func TestPurgeDeletesWhatNothingReaches(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage(scheduled)
	st := s.scheduledStore(noGrace)
	ctx := t.Context()
	multi, err := registrytest.PushIndex(ctx, s.registry.Host, repository("m", "multi"), "1", []string{"linux/amd64", "linux/arm64"}, "multi")
	if err != nil {
		t.Fatal(err)
	}
	child := s.image("m", "child:1", "child")
	handmade := s.image("m", "tagged:1", "tagged").Digest.String()
	plain := s.image("m", "plain:1", "plain").Digest.String()
	m := s.manifest("m", "multi:1", "child:1", "tagged:1", "plain:1")
	s.create(m)
	s.eventually(m, v1alpha1.ConditionUploaded, "True/Complete")
	s.delete(m)
	s.goes(m)
	// Other clients add a second tag to one digest, and an index that contains another.
	s.image("m", "tagged:handmade", "tagged")
	s.pushIndexOver(repository("m", "child"), "handmade", child.Digest.String())

	s.registry.Forget()
	dry, err := s.purge(ctx, true, nil)
	s.Expect(err).NotTo(gomega.HaveOccurred())
	s.Expect(s.registry.Writes()).To(gomega.BeZero(), "I8: a dry run writes nothing")
	s.Expect(verdicts(dry)).To(gomega.And(
		gomega.HaveKeyWithValue(plain, "Released"), gomega.HaveKeyWithValue(multi.Digest.String(), "Released"),
		gomega.HaveKeyWithValue(handmade, "Tagged"), gomega.HaveKeyWithValue(child.Digest.String(), "IndexChild")))

	wet, err := s.purge(ctx, false, nil)
	s.Expect(err).NotTo(gomega.HaveOccurred())
	s.Expect(verdicts(wet)).To(gomega.Equal(verdicts(dry)), "the plan of the dry run is what is done")
	s.Expect(s.at(repository("m", "plain"), plain)).To(gomega.BeEmpty())
	s.Expect(s.at(repository("m", "multi"), multi.Digest.String())).To(gomega.BeEmpty())
	s.Expect(s.at(repository("m", "tagged"), "handmade")).To(gomega.Equal(handmade))
	s.Expect(s.at(repository("m", "child"), child.Digest.String())).To(gomega.Equal(child.Digest.String()))
	graves := s.tombstones()
	s.Expect(graves).To(gomega.HaveLen(1), "the tombstone stays while something of it is left")
	s.Expect(graves[0].Entry(repository("m", "tagged"), "1").State).To(gomega.Equal(v1alpha1.TombstoneKept))
	s.Expect(graves[0].Entry(repository("m", "plain"), "1").State).To(gomega.Equal(v1alpha1.TombstonePurged))
	s.eventually(st, v1alpha1.ConditionPurgeHealthy, "True/Succeeded")
	s.Expect(st.Status.LastPurge.Deleted).To(gomega.BeEquivalentTo(4))
}

func TestGraceIsKept(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage(scheduled)
	s.scheduledStore()
	a, b := s.releasedImages()
	report, err := s.purge(t.Context(), false, nil)
	s.Expect(err).NotTo(gomega.HaveOccurred())
	s.Expect(verdicts(report)).To(gomega.Equal(map[string]string{a: "GracePeriod", b: "GracePeriod"}))
	grave := s.tombstones()[0]
	s.expire(&grave)
	report, err = s.purge(t.Context(), false, nil)
	s.Expect(err).NotTo(gomega.HaveOccurred())
	s.Expect(verdicts(report)).To(gomega.Equal(map[string]string{a: "Released", b: "Released"}))
	s.Expect(s.tombstones()).To(gomega.BeEmpty())
}

func TestI13HeldByWhatNamesTheManifest(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	manager := s.manage(scheduled)
	s.scheduledStore(noGrace)
	a, b := s.releasedImages()
	manager.Stop() // the purge is safe without a manager
	nfdv := s.definition("nfdv", "m", "a")
	s.create(nfdv)
	report, err := s.purge(t.Context(), false, nil)
	s.Expect(err).NotTo(gomega.HaveOccurred())
	s.Expect(verdicts(report)).To(gomega.Equal(map[string]string{a: "Held", b: "Held"}))
	s.delete(nfdv)
	s.create(s.manifest("m", "a:1"))
	report, err = s.purge(t.Context(), false, nil)
	s.Expect(err).NotTo(gomega.HaveOccurred())
	s.Expect(verdicts(report)).To(gomega.Equal(map[string]string{a: "Held", b: "Released"}))
	s.Expect(s.at(repository("m", "a"), a)).To(gomega.Equal(a))
}

func TestI4ACrashInASweepLosesNothing(t *testing.T) {
	t.Parallel()
	crashes(t, 16, func(s *scene, f *fuse) {
		s.manage(scheduled)
		s.scheduledStore(noGrace)
		a, b := s.releasedImages()
		s.image("m", "b:handmade", "b")
		ctx, cancel := context.WithTimeout(s.t.Context(), patience)
		defer cancel()
		_, err := s.purge(ctx, false, f.wrap)
		select {
		case <-f.blown:
			s.Expect(err).To(gomega.HaveOccurred())
		default:
			s.Expect(err).NotTo(gomega.HaveOccurred())
		}
		s.Expect(s.at(repository("m", "b"), "handmade")).To(gomega.Equal(b))
		s.leaseExpires()
		_, err = s.purge(s.t.Context(), false, nil)
		s.Expect(err).NotTo(gomega.HaveOccurred())
		s.Expect(s.at(repository("m", "a"), a)).To(gomega.BeEmpty())
		s.Expect(s.at(repository("m", "b"), "handmade")).To(gomega.Equal(b))
		e := s.tombstones()[0].Entry(repository("m", "a"), "1")
		// A digest that the crashed purge deleted without recording it counts as deleted only when that is certain.
		if e.State != v1alpha1.TombstonePurged {
			s.Expect(string(e.State) + " " + e.Reason).To(gomega.HavePrefix("Kept Unsettled: "))
			s.Expect(e.MissingSince).NotTo(gomega.BeNil())
		}
		s.Expect(s.tombstones()[0].Entry(repository("m", "b"), "1").State).To(gomega.Equal(v1alpha1.TombstoneKept))
	})
}

// leaseExpires deletes the lease, as if it had expired: the crashed purge no longer holds the store.
func (s *scene) leaseExpires() {
	s.t.Helper()
	lease := &coordinationv1.Lease{ObjectMeta: s.meta(cronjob.LeaseName("acme"))}
	s.delete(lease)
}

func TestI13TwoPurgesAtOnce(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage(scheduled)
	s.scheduledStore(noGrace)
	a, b := s.releasedImages()
	reached, goOn := make(chan struct{}), make(chan struct{})
	s.registry.Forget()     // forget the requests of the release
	var stopped atomic.Bool // only the first DELETE waits, so that those of a concurrent purge would go through
	s.registry.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		if deletes(r) && stopped.CompareAndSwap(false, true) {
			close(reached)
			<-goOn
		}
		return false
	})
	first := make(chan error, 1)
	go func() { _, err := s.purge(t.Context(), false, nil); first <- err }()
	<-reached
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err := s.purge(ctx, false, nil)
	meanwhile := s.registry.Count(deletes)
	close(goOn)
	s.Expect(err).To(gomega.MatchError(gomega.ContainSubstring("waiting for the lease")), "the second purge must not run beside the first")
	s.Expect(meanwhile).To(gomega.Equal(2), "those of the first purge, which deletes both at once")
	s.Expect(<-first).NotTo(gomega.HaveOccurred())
	for repo, d := range map[string]string{repository("m", "a"): a, repository("m", "b"): b} {
		s.Expect(s.at(repo, d)).To(gomega.BeEmpty())
	}
}

// A manifest is applied again while a purge runs. Either the digest is deleted and the manifest reports
// it as missing, or the digest exists and its tag is restored. A tag must never exist without its digest.
func TestI13PurgeAgainstRestore(t *testing.T) {
	t.Parallel()
	for round := range 12 {
		t.Run(fmt.Sprintf("Round%02d", round), func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			s.manage(scheduled)
			s.scheduledStore(noGrace)
			a, b := s.releasedImages()
			again := s.manifest("m", "a:1", "b:1")
			var once sync.Once
			var seen atomic.Int64
			begins := int64(round * 5) // from before the purge's first request to after its last one
			through := func(base http.RoundTripper) http.RoundTripper {
				return roundTripper(func(r *http.Request) (*http.Response, error) {
					if seen.Add(1) > begins {
						once.Do(func() { s.create(again) })
					}
					return base.RoundTrip(r)
				})
			}
			_, err := s.purge(t.Context(), false, through)
			if err != nil && !errors.Is(err, context.Canceled) {
				t.Logf("the purge gave way: %v", err)
			}
			after := seen.Load() <= begins
			once.Do(func() { s.create(again) })
			s.Eventually(func() bool {
				s.condition(again, "")
				return len(again.Status.Artifacts) == 2 && s.find(again, v1alpha1.ConditionUploaded) != nil
			}).Should(gomega.BeTrue())
			for name, d := range map[string]string{"a": a, "b": b} {
				tag := func() string { return s.at(repository("m", name), "1") }
				s.Eventually(func() bool { return tag() == s.at(repository("m", name), d) }).
					Should(gomega.BeTrue(), "the digest is there and its tag is not restored, or the other way round")
				gone := tag() == ""
				s.Expect(gone && begins == 0).To(gomega.BeFalse(), "the manifest was there before the purge asked for anything")
				s.Expect(!gone && after).To(gomega.BeFalse(), "the purge ended before there was a manifest")
				if gone {
					s.eventually(again, v1alpha1.ConditionUploaded, "False/Missing")
				}
			}
		})
	}
}

func TestI9PurgeOfTwoStoresOnOverlappingPaths(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage(scheduled)
	elder := s.scheduledStore(noGrace)
	a, _ := s.releasedImages()
	s.ages(elder)
	s.create(s.store("younger", noGrace, func(o *v1alpha1.ArtifactStore) { o.Spec.Registry.URL = s.registry.URL("acme/m") }))
	younger := s.store("younger")
	s.eventually(younger, v1alpha1.ConditionReady, "False/PathConflict")
	cfg := purge.Config{Namespace: s.ns, Store: "younger", Client: env.Client, Identity: "younger"}
	leases, err := coordinationv1client.NewForConfig(env.Admin)
	s.Expect(err).NotTo(gomega.HaveOccurred())
	cfg.Leases = leases
	s.registry.Forget()
	_, err = purge.Run(t.Context(), cfg)
	s.Expect(errors.Is(err, purge.ErrRefused)).To(gomega.BeTrue(), "%v", err)
	s.Expect(s.registry.Requests()).To(gomega.BeEmpty(), "an inert store asks its registry for nothing")
	s.Expect(s.at(repository("m", "a"), a)).To(gomega.Equal(a))
}

func TestPurgeOverBudget(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage(scheduled)
	s.scheduledStore(noGrace, func(o *v1alpha1.ArtifactStore) { o.Spec.Purge.MaxDeletions = 1 })
	s.releasedImages()
	report, err := s.purge(t.Context(), false, nil)
	s.Expect(err).NotTo(gomega.HaveOccurred())
	var reasons []string
	for _, r := range verdicts(report) {
		reasons = append(reasons, r)
	}
	slices.Sort(reasons)
	s.Expect(reasons).To(gomega.Equal([]string{"OverBudget", "Released"}))
}

func TestPurgeUnderAThresholdItCannotMeasure(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage(scheduled)
	st := s.scheduledStore(noGrace, func(o *v1alpha1.ArtifactStore) { o.Spec.Purge.ThresholdPercent = 80 })
	a, _ := s.releasedImages()
	_, err := s.purge(t.Context(), false, nil)
	s.Expect(errors.Is(err, purge.ErrRefused)).To(gomega.BeTrue(), "%v", err)
	s.Expect(s.at(repository("m", "a"), a)).To(gomega.Equal(a))
	s.eventually(st, v1alpha1.ConditionPurgeHealthy, "False/UsageUnknown")
}

func TestCronJobIsKept(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage(scheduled)
	st := s.scheduledStore()
	job := &batchv1.CronJob{ObjectMeta: s.meta("acme-purge")}
	s.Expect(env.Client.Get(t.Context(), client.ObjectKeyFromObject(job), job)).To(gomega.Succeed())
	container := job.Spec.JobTemplate.Spec.Template.Spec.Containers[0]
	s.Expect(container.Image).To(gomega.Equal(purgerImage))
	s.Expect(strings.Join(container.Args, " ")).To(gomega.ContainSubstring("purge"))
	s.Expect(job.Spec.ConcurrencyPolicy).To(gomega.Equal(batchv1.ForbidConcurrent))

	change(s, job, func(j *batchv1.CronJob) { j.Spec.Schedule = "1 1 1 1 *" })
	s.Eventually(func() string {
		_ = env.Client.Get(t.Context(), client.ObjectKeyFromObject(job), job)
		return job.Spec.Schedule
	}).Should(gomega.Equal("0 0 * * *"), "an edit by hand is healed")
	s.delete(job)
	s.Eventually(func() error { return env.Client.Get(t.Context(), client.ObjectKeyFromObject(job), job) }).Should(gomega.Succeed())

	change(s, st, func(o *v1alpha1.ArtifactStore) { o.Spec.Purge.Schedule = new("99 * * * *") })
	s.eventually(st, v1alpha1.ConditionPurgeHealthy, "False/InvalidSchedule")
	change(s, st, func(o *v1alpha1.ArtifactStore) { o.Spec.Purge.Schedule = new("") })
	s.goes(job)
	s.eventually(st, v1alpha1.ConditionPurgeHealthy, "Unknown/Suspended")
}

// pushIndexOver pushes an index whose only child is an existing digest.
func (s *scene) pushIndexOver(repository, tag, child string) {
	s.t.Helper()
	l := s.registry.Location("acme")
	c, err := registry.Open(registry.Config{Location: l})
	if err != nil {
		s.t.Fatal(err)
	}
	d, err := c.Resolve(s.t.Context(), repository, child)
	if err != nil {
		s.t.Fatal(err)
	}
	body := fmt.Sprintf(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":%q,"digest":%q,"size":%d}]}`, d.MediaType, d.Digest, d.Size)
	m, err := registry.ParseManifest("application/vnd.oci.image.index.v1+json", []byte(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if err := c.Put(s.t.Context(), repository, tag, m); err != nil {
		s.t.Fatal(err)
	}
}

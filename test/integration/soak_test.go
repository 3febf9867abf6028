package integration

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onsi/gomega"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

// soakFor is how long publishers publish: NFO_SOAK, or 20 seconds.
func soakFor(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("NFO_SOAK")
	if text == "" {
		return 20 * time.Second
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		t.Fatalf("NFO_SOAK should be a duration such as 10m, and is %q", text)
	}
	return d
}

// tally counts what happened in a soak.
type tally struct {
	pushes, shared, releases, restored, pushedAgain, retags, late, back, purges, deleted, troubled atomic.Int64
}

// actor acts until over returns true. It ends in a state that matches what it believes.
type actor func(ctx context.Context, over func() bool) error

// writer is a publisher of one manifest. No other client changes the manifest, so the writer knows which digests must exist.
type writer struct {
	*scene
	name  string
	tally *tally
	// believes has the digest that was pushed last for each artifact, name:version.
	believes map[string]string
	serial   int
	// base is the child that the current version of the index shares with those that it has overwritten.
	base ocispec.Descriptor
}

var soaked = []string{"image:1", "image:2", "index:1"}

func newWriter(s *scene, n int, sum *tally) *writer {
	return &writer{scene: s, name: fmt.Sprintf("w%d", n), tally: sum, believes: map[string]string{}}
}

// run does what a publisher does: it applies the manifest, pushes what is missing, overwrites tags, deletes
// the manifest and applies it again. It ends with everything applied and uploaded, and a tag overwritten.
func (w *writer) run(ctx context.Context, over func() bool) error {
	for {
		if err := w.apply(ctx); err != nil {
			return fmt.Errorf("applying %s: %w", w.name, err)
		}
		for range 1 + rand.IntN(2) {
			if err := w.push(ctx, soaked[rand.IntN(len(soaked))]); err != nil {
				return err
			}
		}
		if over() {
			return nil
		}
		if err := w.release(ctx); err != nil {
			return fmt.Errorf("deleting %s: %w", w.name, err)
		}
		// Often at once, and often so late that a purge runs before.
		if err := pause(ctx, rand.N([]time.Duration{200 * time.Millisecond, 5 * time.Second}[rand.IntN(2)])); err != nil {
			return err
		}
	}
}

// push pushes new content. It overwrites the tag of an artifact that exists.
func (w *writer) push(ctx context.Context, artifact string) error {
	w.serial++
	seed := fmt.Sprintf("%s %s %d", w.name, artifact, w.serial)
	n, v, _ := strings.Cut(artifact, ":")
	push := func() (string, error) {
		d, err := registrytest.PushImage(ctx, w.inside.Host, repository(w.name, n), v, seed)
		return d.Digest.String(), err
	}
	if n == "index" {
		push = func() (string, error) { return w.pushIndex(ctx, repository(w.name, n), v, seed) }
	}
	d, err := push()
	if err != nil {
		return fmt.Errorf("pushing %s: %w", seed, err)
	}
	w.believes[artifact] = d
	w.tally.pushes.Add(1)
	return nil
}

// pushIndex pushes an index with a new child and the base, which is pushed only if there is none. While an index
// is overwritten, the tag or the manifest keeps the base all the time: it must survive the purge of older versions.
func (w *writer) pushIndex(ctx context.Context, repository, tag, seed string) (string, error) {
	fresh, err := registrytest.PushImage(ctx, w.inside.Host, repository, "", seed)
	if err != nil {
		return "", err
	}
	if w.base.Digest != "" {
		w.tally.shared.Add(1)
	} else if w.base, err = registrytest.PushImage(ctx, w.inside.Host, repository, "", seed+" base"); err != nil {
		return "", err
	}
	d, err := put(w.inside, repository, tag, ocispec.MediaTypeImageIndex, indexOf(fresh, w.base))
	return d.Digest.String(), err
}

// apply applies the manifest and waits until it is uploaded. It
// pushes again what was not restored and can no longer be restored.
func (w *writer) apply(ctx context.Context) error {
	m := w.manifest(w.name, soaked...)
	if err := env.Client.Create(ctx, m); err != nil {
		return err
	}
	pushed := map[string]bool{}
	err := eventually(ctx, func(ctx context.Context) (bool, error) {
		if err := env.Client.Get(ctx, client.ObjectKeyFromObject(m), m); err != nil {
			return false, err
		}
		c := apimeta.FindStatusCondition(m.Status.Conditions, v1alpha1.ConditionUploaded)
		if c == nil || c.Status == metav1.ConditionTrue || c.Reason != v1alpha1.ReasonMissing {
			return c != nil && c.Status == metav1.ConditionTrue && c.ObservedGeneration == m.Generation, nil
		}
		return false, w.fill(ctx, m, pushed)
	})
	if err != nil {
		return err
	}
	for _, a := range soaked {
		if pushed[a] {
			continue
		}
		if err := w.whole(a); err != nil {
			return fmt.Errorf("LOST after a restore: %w", err)
		}
		w.tally.restored.Add(1)
	}
	return nil
}

// fill pushes the artifacts that are missing and that no tombstone can restore.
func (w *writer) fill(ctx context.Context, m *v1alpha1.ArtifactManifest, pushed map[string]bool) error {
	before := len(pushed)
	for _, a := range m.Status.Artifacts {
		name := a.ArtifactName + ":" + a.ArtifactVersion
		if a.State == v1alpha1.ArtifactPresent || pushed[name] {
			continue
		}
		restorable, err := w.restorable(ctx, a.Repository, a.ArtifactVersion)
		if err != nil {
			return err
		}
		if _, err := pull(w.inside, a.Repository, a.ArtifactVersion); err == nil || restorable {
			continue
		}
		if w.believes[name] != "" {
			w.tally.pushedAgain.Add(1)
		}
		if a.ArtifactName == "index" {
			w.base = ocispec.Descriptor{} // a purge may have deleted it, or be deleting it
		}
		if err := w.push(ctx, name); err != nil {
			return err
		}
		pushed[name] = true
	}
	if len(pushed) == before {
		return nil
	}
	// A new generation is polled at once, because a soak has no time for the next poll.
	slices.Reverse(m.Spec.Artifacts)
	if err := env.Client.Update(ctx, m); !apierrors.IsConflict(err) {
		return err
	}
	return nil
}

// restorable reports whether a tombstone can restore a tag and no purge has deleted the tag's last digest.
func (w *writer) restorable(ctx context.Context, repository, tag string) (bool, error) {
	var l v1alpha1.TombstoneList
	if err := env.Client.List(ctx, &l, client.InNamespace(w.ns), client.MatchingFields{"spec.manifest.name": w.name}); err != nil {
		return false, err
	}
	return slices.ContainsFunc(l.Items, func(t v1alpha1.Tombstone) bool {
		is := t.Entry(repository, tag)
		return t.Spec.Cause == v1alpha1.CauseReleased && is.State != v1alpha1.TombstoneRestored && is.State != v1alpha1.TombstonePurged &&
			!slices.ContainsFunc(t.Spec.Artifacts, func(a v1alpha1.TombstoneArtifact) bool {
				return a.Repository == repository && a.Tag == tag && slices.Contains(is.Deleted, a.Digests[len(a.Digests)-1])
			})
	}), nil
}

// whole checks that a tag has the digest that was pushed last, and that its content is complete.
func (w *writer) whole(artifact string) error {
	n, v, _ := strings.Cut(artifact, ":")
	got, err := pull(w.inside, repository(w.name, n), v)
	if err == nil && got != w.believes[artifact] {
		err = errors.New("other bytes")
	}
	if err != nil {
		return fmt.Errorf("%s %s is at %s, not at %s: %w", repository(w.name, n), v, got, w.believes[artifact], err)
	}
	return nil
}

// release deletes the manifest and waits until it is gone.
func (w *writer) release(ctx context.Context) error {
	m := w.manifest(w.name)
	if err := env.Client.Delete(ctx, m); err != nil {
		return err
	}
	w.tally.releases.Add(1)
	return eventually(ctx, func(ctx context.Context) (bool, error) {
		err := env.Client.Get(ctx, client.ObjectKeyFromObject(m), m)
		return apierrors.IsNotFound(err), client.IgnoreNotFound(err)
	})
}

// eventually polls until done returns true, at most for patience. It can be used from any goroutine.
func eventually(ctx context.Context, done func(context.Context) (bool, error)) error {
	return wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, patience, true, done)
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// purgesUntil runs purges one after another until the actors have ended. Meanwhile it changes the store's grace period and
// ends the grace period of some tombstones. After the actors have ended it runs one more purge without a grace period.
func (s *scene) purgesUntil(ctx context.Context, ended <-chan error, sum *tally) error {
	var result error
	for running := true; running; {
		select {
		case result = <-ended:
			running = false
		default:
		}
		grace := time.Duration(0)
		if running && rand.IntN(3) == 0 {
			grace = time.Hour
		}
		if running {
			for _, grave := range s.tombstones() {
				if rand.IntN(3) == 0 {
					was := client.MergeFrom(grave.DeepCopy())
					grave.Annotations = map[string]string{v1alpha1.AnnotationExpireNow: ""}
					s.Expect(client.IgnoreNotFound(env.Client.Patch(ctx, &grave, was))).To(gomega.Succeed())
				}
			}
		}
		change(s, s.store("acme"), func(o *v1alpha1.ArtifactStore) { o.Spec.Purge.GracePeriod.Duration = grace })
		s.judged()
		report, err := s.purge(ctx, false, nil)
		if err != nil {
			sum.troubled.Add(1)
			s.t.Logf("a purge gave way: %v", err)
		}
		sum.purges.Add(1)
		sum.deleted.Add(int64(report.Deleted))
	}
	return result
}

// judged waits until the manager has handled the current generation of the store, because no purge runs before.
func (s *scene) judged() {
	s.t.Helper()
	st := s.store("acme")
	s.Eventually(func() bool {
		c := s.find(st, v1alpha1.ConditionReady)
		return c != nil && c.ObservedGeneration == st.Generation
	}).Should(gomega.BeTrue())
}

// soak runs actors and purges at the same time and waits for all. On a slow machine
// it continues, for at most a minute longer, until everything in tried has happened.
func (s *scene) soak(forAbout time.Duration, sum *tally, tried []*atomic.Int64, actors ...actor) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), forAbout+4*patience)
	defer cancel()
	tried = append(tried, &sum.deleted, &sum.releases)
	missing := func(n *atomic.Int64) bool { return n.Load() == 0 }
	until := time.Now().Add(forAbout)
	over := func() bool {
		late := time.Since(until)
		return late > 0 && (late > patience || !slices.ContainsFunc(tried, missing))
	}
	g, acting := errgroup.WithContext(ctx)
	for _, act := range actors {
		g.Go(func() error { return act(acting, over) })
	}
	ended := make(chan error, 1)
	go func() { ended <- g.Wait() }()
	err := s.purgesUntil(ctx, ended, sum)
	s.t.Logf("%d pushes, %d of them of an index with a child of an older one, %d releases, %d tags restored, %d pushed again after a purge; %d purges, of which %d gave way; %d digests deleted",
		sum.pushes.Load(), sum.shared.Load(), sum.releases.Load(), sum.restored.Load(), sum.pushedAgain.Load(), sum.purges.Load(), sum.troubled.Load(), sum.deleted.Load())
	s.Expect(err).NotTo(gomega.HaveOccurred())
	s.Expect(slices.ContainsFunc(tried, missing)).To(gomega.BeFalse(), "not everything happened that was to be tried")
}

// Publishers push, overwrite, delete and apply again while purges run one after another. At the end everything
// that they believe in exists, byte for byte, and everything that was restored was complete. The test is not
// parallel, because purges and publishers should run at the same time and not wait for other tests.
func TestSoakPublishersLoseNothing(t *testing.T) {
	newScene(t).publishersLoseNothing(soakFor(t))
}

// The same with a registry that answers one read in a hundred wrongly.
func TestSoakWithARegistryThatLies(t *testing.T) {
	s := newGuardedScene(t)
	reported := registrytest.LieAtRandom(s.registry, 0.01)
	s.publishersLoseNothing(soakFor(t))
	t.Logf("%d wrong answers", reported())
	if reported() == 0 {
		t.Error("the registry has not lied")
	}
}

func (s *scene) publishersLoseNothing(forAbout time.Duration) {
	s.t.Helper()
	s.manage(scheduled)
	s.scheduledStore(noGrace)
	sum := &tally{}
	var writers []*writer
	var actors []actor
	for n := range 6 {
		writers = append(writers, newWriter(s, n, sum))
		actors = append(actors, writers[n].run)
	}
	s.soak(forAbout, sum, []*atomic.Int64{&sum.restored, &sum.pushedAgain, &sum.shared}, actors...)
	lost, believed := 0, 0
	for _, w := range writers {
		for _, a := range soaked {
			believed++
			if err := w.whole(a); err != nil {
				lost++
				s.t.Errorf("LOST: %v", err)
			}
		}
	}
	s.t.Logf("%d of %d tags lost", lost, believed)
}

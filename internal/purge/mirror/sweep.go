package mirror

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/graph"
	"github.com/nfo-operator/nfo/internal/purge/plan"
	"github.com/nfo-operator/nfo/internal/purge/reading"
	"github.com/nfo-operator/nfo/internal/registry"
)

const (
	// waveSize is the most candidates that are claimed and removed together. The cluster is read twice for each wave.
	waveSize = 64
	// lookTimeout bounds the reading of the cluster after deletions and
	// what follows from it, also for a purge that was asked to stop.
	lookTimeout = 2 * time.Minute
	// settleTimeout is how long a purge that was asked to stop may still write what it has done to an Artifact.
	settleTimeout = 10 * time.Second
	// settleTries is how often an Artifact is written at most if others change it meanwhile.
	settleTries = 3
	// restoreTimeout bounds restoring what was removed from a repository, also for a purge that was asked to stop.
	restoreTimeout = 20 * time.Second
	// claimMessage is the message of the Ready condition of a claimed Artifact.
	claimMessage = "Nothing uses the image, and a purge removes it from the mirror."
)

// Values of the key "event" in log lines about deletions.
const (
	eventDeleted = "Deleted"
	eventPutBack = "PutBack"
)

// sweeper carries out a plan.
//
// In each wave, the Artifacts are first claimed (Releasing), by writes that fail if an Artifact was
// written meanwhile (I13). Then the cluster is read, and Artifacts that are used now are given back.
// The copies of the others are removed from the registry, and their bytes are kept. Then the cluster is
// read again. What is used now is restored, and the other Artifacts are deleted. A purge that dies
// meanwhile leaves Artifacts in the state Releasing, which the next purge continues with or gives back.
type sweeper struct {
	env  Env
	plan *Plan

	mu sync.Mutex
	// held is how many bytes of image manifests are kept so that they can be restored.
	held int
	// over is the error that showed that no deletion can succeed.
	over error
	// asked are the digests that the registry was asked to delete in a collection.
	asked []reading.Key
	// doubt says why the purge must not ask for a collection: the collection might delete something that is needed.
	doubt error
	// claims have the state before the claim, by claimed Artifact.
	claims map[string]claimed
}

// claimed is the state of an Artifact before it was claimed.
type claimed struct {
	state v1alpha1.MirrorState
	ready *metav1.Condition
}

// visited is what was removed from one repository.
type visited struct {
	repository, path string
	items            []*candidate
	// gone are the deleted image manifests, in layers, parents first. tags are the removed tags, with their digests.
	gone  [][]registry.Manifest
	tags  map[string]string
	graph *graph.Graph
	// asked are the digests that the registry is to delete in a collection. kept are those that stay.
	asked, kept map[digest.Digest]bool
}

// Result is what carrying out a plan did, in addition to its verdicts.
type Result struct {
	// Deleted is how many digests were deleted.
	Deleted int
	// Over is the error that showed that no deletion can succeed; nil if there is none.
	Over error
	// Doubt says why the purge must not ask for a collection: the collection might delete something that is needed.
	Doubt error
}

// Act removes what may be deleted. Afterwards the verdicts of the
// plan say what became of it. The error does not repeat Plan.Err.
func (p *Plan) Act(ctx context.Context, env Env) (Result, error) {
	s := &sweeper{env: env, plan: p}
	err := errors.Join(s.run(ctx), s.lastLook(ctx))
	return Result{Deleted: len(p.deleted), Over: s.over, Doubt: s.doubt}, err
}

// run removes wave after wave, and gives back Artifacts that a purge that died has claimed and that are kept now.
func (s *sweeper) run(ctx context.Context) error {
	var errs []error
	s.claims = map[string]claimed{}
	var going []*candidate
	for _, i := range s.plan.items {
		switch {
		case i.Delete:
			going = append(going, i)
		case !i.orphan() && i.Releasing() && i.DeletionTimestamp == nil && i.Reason != plan.OverBudget && i.Reason != plan.NotNeeded:
			errs = append(errs, s.giveBack(ctx, i, false))
		}
	}
	// What has been unused for the longest time is deleted first.
	slices.SortStableFunc(going, func(a, b *candidate) int { return a.UntaggedAt.Compare(b.UntaggedAt) })
	for len(going) > 0 && ctx.Err() == nil && s.over == nil {
		n := s.fit(going)
		if n == 0 {
			going[0].Keep(plan.Unreadable, fmt.Sprintf("the image manifests that go with it have more than %d bytes together, which no purge can put back; delete its tag and digests with another client", reading.MaxHeld))
			errs = append(errs, s.giveBack(ctx, going[0], false))
			going = going[1:]
			continue
		}
		s.env.Log.Info("Removing from the mirror", "images", n, "left", len(going)-n)
		errs = append(errs, s.wave(ctx, going[:n]))
		going = going[n:]
	}
	for _, i := range going {
		i.Keep(plan.Interrupted, plan.NotReached)
	}
	if ctx.Err() != nil {
		errs = append(errs, fmt.Errorf("stopped before its end (%w); run it again", context.Cause(ctx)))
	}
	return errors.Join(errs...)
}

// fit returns how many of the first candidates are removed together, so that their image manifests fit in
// memory until it is verified that nothing uses them. It returns 0 if even the first one does not fit.
func (s *sweeper) fit(going []*candidate) int {
	n := min(waveSize, len(going))
	for n > 0 && s.weight(going[:n]) > reading.MaxHeld {
		n /= 2
	}
	return n
}

// weight returns the size in bytes of the image manifests that the plan deletes with some candidates.
func (s *sweeper) weight(items []*candidate) (bytes int64) {
	for repository, of := range byRepository(items) {
		ds, _ := s.plan.seen.removable(s.plan.readings[repository], pathOf(repository), of)
		bytes += s.plan.reader.Weight(repository, ds)
	}
	return bytes
}

// wave removes the copies of some candidates.
func (s *sweeper) wave(ctx context.Context, items []*candidate) error {
	if err := s.claim(ctx, items); err != nil {
		return errors.Join(err, s.giveAllBack(ctx, items, plan.Interrupted, plan.NotReached))
	}
	now, err := s.readAgain(ctx)
	if err != nil {
		return errors.Join(err, s.giveAllBack(ctx, items, plan.UseUnknown, err.Error()))
	}
	var errs []error
	for _, i := range items {
		if i.Delete && !s.judgeAgain(now, i) {
			errs = append(errs, s.giveBack(ctx, i, false))
		}
	}
	visits, err := s.remove(ctx, now, byRepository(items))
	return errors.Join(append(errs, err, s.settle(ctx, visits))...)
}

// judgeAgain judges a candidate by what was read after it was claimed, and reports whether it may still be deleted.
func (s *sweeper) judgeAgain(now *mirrored, i *candidate) bool {
	if i.orphan() {
		if i.loose() && now.names(i.path, i.Digest) || !i.loose() && now.tagged(i.path, i.tag, nil) {
			i.Keep(plan.InUse, "an Artifact or a workload names it again")
		}
		return i.Delete
	}
	for _, n := range now.named[i.path] {
		if a := now.artifacts[n]; a.UID == i.UID {
			if v := now.judge(a); !v.Delete {
				i.Verdict = v
			}
			i.mirroredImage = a
			return i.Delete
		}
	}
	i.Keep(plan.Held, "it was deleted while the purge ran")
	return false
}

// readAgain reads the cluster again.
func (s *sweeper) readAgain(ctx context.Context) (*mirrored, error) {
	c, err := s.env.ReadCluster(ctx)
	if err == nil {
		err = c.Refusal
	}
	if err != nil {
		return nil, err
	}
	var places []string
	for _, i := range s.plan.items { // including those whose Artifact was deleted since
		places = append(places, i.path)
	}
	m, err := s.env.read(ctx, c, places)
	return &m, err
}

// claim marks the Artifacts as Releasing. An Artifact that was written since it was read is kept.
func (s *sweeper) claim(ctx context.Context, items []*candidate) error {
	for _, i := range items {
		if i.orphan() {
			continue
		}
		was := claimed{state: i.Status.State}
		if c := apimeta.FindStatusCondition(i.Status.Conditions, v1alpha1.ConditionReady); c != nil {
			was.ready = c.DeepCopy()
		}
		err := s.write(ctx, i, v1alpha1.MirrorReleasing, &metav1.Condition{Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonReleasing, Message: claimMessage})
		switch {
		case apierrors.IsConflict(err), apierrors.IsNotFound(err):
			i.Keep(plan.Held, "somebody else changed it while the purge ran")
		case err != nil:
			return fmt.Errorf("claiming Artifact %s: %w", i.Verdict.Artifact, err)
		default:
			s.claims[i.id()] = was
		}
	}
	return nil
}

// write sets the state of an Artifact. It returns a conflict if the Artifact was written since it was read.
func (s *sweeper) write(ctx context.Context, i *candidate, state v1alpha1.MirrorState, ready *metav1.Condition) error {
	is := i.DeepCopy()
	before := client.MergeFromWithOptions(i.DeepCopy(), client.MergeFromWithOptimisticLock{})
	is.Status.State = state
	apimeta.RemoveStatusCondition(&is.Status.Conditions, v1alpha1.ConditionReady)
	if ready != nil {
		ready = ready.DeepCopy()
		ready.Type, ready.ObservedGeneration = v1alpha1.ConditionReady, is.Generation
		if ready.LastTransitionTime.IsZero() {
			ready.LastTransitionTime = metav1.NewTime(s.env.Now())
		}
		is.Status.Conditions = append(is.Status.Conditions, *ready)
	}
	if err := s.env.Client.Status().Patch(ctx, is, before); err != nil {
		return err
	}
	i.mirroredImage.Artifact = is
	return nil
}

// giveBack gives back an Artifact that is kept. If nothing of its copy was removed, it gets the state
// from before the claim. Otherwise it is copied again, unless the registry still has its whole copy.
func (s *sweeper) giveBack(ctx context.Context, i *candidate, removed bool) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	if _, mine := s.claims[i.id()]; i.orphan() || !mine && !i.Releasing() {
		return nil
	}
	was := s.before(ctx, i, removed)
	for range settleTries {
		err := s.write(ctx, i, was.state, was.ready)
		if !apierrors.IsConflict(err) {
			if client.IgnoreNotFound(err) != nil {
				return fmt.Errorf("giving back Artifact %s: %w", i.Verdict.Artifact, err)
			}
			return nil
		}
		var now v1alpha1.Artifact
		if err := s.env.Client.Get(ctx, client.ObjectKeyFromObject(i.mirroredImage.Artifact), &now); err != nil {
			return client.IgnoreNotFound(err)
		}
		if i.mirroredImage.Artifact = &now; !now.Releasing() {
			return nil // another writer has given it back
		}
	}
	return fmt.Errorf("giving back Artifact %s: others keep writing it; the next purge does", i.Verdict.Artifact)
}

// before returns the state and condition that an Artifact gets when it is given back.
func (s *sweeper) before(ctx context.Context, i *candidate, removed bool) claimed {
	was, mine := s.claims[i.id()]
	switch {
	case mine && !removed && was.state != v1alpha1.MirrorReleasing:
		return was
	case s.whole(ctx, i):
		return claimed{v1alpha1.MirrorPresent, &metav1.Condition{Status: metav1.ConditionTrue, Reason: string(v1alpha1.MirrorPresent), Message: "The mirror has all of the image."}}
	}
	again := "A purge began to remove it from the mirror, and it is used again. It is copied again."
	return claimed{v1alpha1.MirrorPending, &metav1.Condition{Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonPending, Message: again}}
}

// whole reports whether the registry has the whole copy of an Artifact, under the reference by which nodes pull it.
func (s *sweeper) whole(ctx context.Context, i *candidate) bool {
	found, err := s.env.Registry.Resolve(ctx, i.Repository, i.image.Reference())
	return err == nil && (i.Status.Digest == "" || found.Digest.String() == i.Status.Digest)
}

// giveAllBack keeps the candidates of a wave from which nothing was removed.
func (s *sweeper) giveAllBack(ctx context.Context, items []*candidate, why plan.Reason, message string) error {
	errs := make([]error, 0, len(items))
	for _, i := range items {
		if i.Delete {
			i.Keep(why, message)
			errs = append(errs, s.giveBack(ctx, i, false))
		}
	}
	return errors.Join(errs...)
}

// remove removes from the registry what is deleted with the candidates of each repository.
func (s *sweeper) remove(ctx context.Context, now *mirrored, byRepository map[string][]*candidate) ([]*visited, error) {
	visits, errs := make([]*visited, 0, len(byRepository)), make([]error, len(byRepository))
	var g errgroup.Group
	g.SetLimit(s.plan.reader.Requests())
	for repository, items := range byRepository {
		v := &visited{repository: repository, path: pathOf(repository), items: items, tags: map[string]string{}}
		n := len(visits)
		visits = append(visits, v)
		g.Go(func() error {
			errs[n] = s.visit(ctx, now, v)
			return nil // an error in one repository does not stop the others
		})
	}
	_ = g.Wait()
	return visits, errors.Join(errs...)
}

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
	// waveSize is how many candidates are claimed and removed together. The cluster is read twice for each wave.
	waveSize = 64
	// lookTimeout bounds the reading of the cluster after deletions, and what follows from it, also of a purge that was
	// asked to stop.
	lookTimeout = 2 * time.Minute
	// settleTimeout is how long a purge that was asked to stop may still write what it has done to an Artifact.
	settleTimeout = 10 * time.Second
	// settleTries bounds how often an Artifact is read again because somebody else wrote.
	settleTries = 3
	// restoreTimeout bounds how long what was removed from a repository is put back, also of a purge that was asked to stop.
	restoreTimeout = 20 * time.Second
	// claimMessage is what a claimed Artifact says.
	claimMessage = "Nothing uses the image, and a purge removes it from the mirror."
)

// Values of the key "event" of the lines that say what was done.
const (
	eventDeleted = "Deleted"
	eventPutBack = "PutBack"
)

// sweeper acts on a plan.
//
// Of each wave the Artifacts are claimed first (Releasing), by writes that fail if anybody else wrote (I13). Then the
// cluster is read anew: what is used now is given back. What still is not goes from the registry, its bytes at hand. Then
// the cluster is read once more: what is used by now is put back, and the Artifacts of the rest are deleted. A purge that
// dies in between leaves Artifacts that are Releasing, which the next purge goes on with or gives back.
type sweeper struct {
	env  Env
	plan *Plan

	mu sync.Mutex
	// held is how many bytes of image manifests are at hand for putting back.
	held int
	// over says why nothing can be deleted at all.
	over error
	// asked is what the registry was asked to delete in a collection.
	asked []reading.Key
	// doubt says why no collection is asked for: what goes with it may be needed.
	doubt error
	// claims are what the claimed Artifacts were before.
	claims map[string]claimed
}

// claimed is what an Artifact was before it was claimed.
type claimed struct {
	state v1alpha1.MirrorState
	ready *metav1.Condition
}

// visited is what was removed in one repository.
type visited struct {
	repository, path string
	items            []*candidate
	// gone are the image manifests that were deleted, in layers, parents first, and tags where tags were that went.
	gone  [][]registry.Manifest
	tags  map[string]string
	graph *graph.Graph
	// asked are the digests that the registry deletes in a collection, and kept those that stay.
	asked, kept map[digest.Digest]bool
}

// Result is what came of acting on a plan, besides its verdicts.
type Result struct {
	// Deleted is how many digests were deleted.
	Deleted int
	// Over says why nothing can be deleted at all; nil if something can.
	Over error
	// Doubt says why no collection must be asked for: what goes with it may be needed.
	Doubt error
}

// Act removes what may go, after which the plan says what became of it. The error does not repeat what could not be read
// for the plan.
func (p *Plan) Act(ctx context.Context, env Env) (Result, error) {
	s := &sweeper{env: env, plan: p}
	err := errors.Join(s.run(ctx), s.lastLook(ctx))
	return Result{Deleted: len(p.deleted), Over: s.over, Doubt: s.doubt}, err
}

// run removes wave after wave, and gives back what a purge that died has claimed and that stays.
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
	// What was unused longest goes first.
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

// fit is how many of the first candidates are removed together: their image manifests are kept until it has been looked who
// uses them by then. It is 0 if not even the first one can be.
func (s *sweeper) fit(going []*candidate) int {
	n := min(waveSize, len(going))
	for n > 0 && s.weight(going[:n]) > reading.MaxHeld {
		n /= 2
	}
	return n
}

// weight is how many bytes the image manifests have that go with some candidates, by the plan.
func (s *sweeper) weight(items []*candidate) (bytes int64) {
	for repository, of := range byRepository(items) {
		ds, _ := s.plan.seen.going(s.plan.readings[repository], pathOf(repository), of)
		bytes += s.plan.reader.Weight(repository, ds)
	}
	return bytes
}

// wave removes some candidates.
func (s *sweeper) wave(ctx context.Context, items []*candidate) error {
	if err := s.claim(ctx, items); err != nil {
		return errors.Join(err, s.giveAllBack(ctx, items, plan.Interrupted, plan.NotReached))
	}
	now, err := s.look(ctx)
	if err != nil {
		return errors.Join(err, s.giveAllBack(ctx, items, plan.UseUnknown, err.Error()))
	}
	var errs []error
	for _, i := range items {
		if i.Delete && !s.again(now, i) {
			errs = append(errs, s.giveBack(ctx, i, false))
		}
	}
	visits, err := s.remove(ctx, now, byRepository(items))
	return errors.Join(append(errs, err, s.settle(ctx, visits))...)
}

// again judges an item by what was read after it was claimed, and reports whether it still goes.
func (s *sweeper) again(now *mirrored, i *candidate) bool {
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

// look reads the cluster anew.
func (s *sweeper) look(ctx context.Context) (*mirrored, error) {
	c, err := s.env.ReadCluster(ctx)
	if err == nil {
		err = c.Refusal
	}
	if err != nil {
		return nil, err
	}
	var places []string
	for _, i := range s.plan.items { // also those whose Artifact has gone since
		places = append(places, i.path)
	}
	m, err := s.env.read(ctx, c, places)
	return &m, err
}

// claim marks the Artifacts as Releasing. One that somebody else wrote since it was read stays.
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

// write sets the state of an Artifact, unless somebody else wrote it since it was read.
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

// giveBack gives an Artifact back that stays: as it was when it was claimed, if nothing of its copy was removed. Otherwise
// it is copied again, unless the registry still has all of it.
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
			return nil // somebody else has
		}
	}
	return fmt.Errorf("giving back Artifact %s: others keep writing it; the next purge does", i.Verdict.Artifact)
}

// before is what an Artifact becomes that is given back.
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

// whole reports whether the registry has all of an Artifact's copy, under the name by which nodes pull it.
func (s *sweeper) whole(ctx context.Context, i *candidate) bool {
	found, err := s.env.Registry.Resolve(ctx, i.Repository, i.image.Reference())
	return err == nil && (i.Status.Digest == "" || found.Digest.String() == i.Status.Digest)
}

// giveAllBack keeps what of a wave nothing has been done with.
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

// remove removes from the registry what goes with the items of each repository.
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
			return nil // one repository does not stop another
		})
	}
	_ = g.Wait()
	return visits, errors.Join(errs...)
}

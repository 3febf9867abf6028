package sweep

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/purge/plan"
	"github.com/nfo-operator/nfo/internal/purge/reading"
	"github.com/nfo-operator/nfo/internal/registry"
)

const (
	// settleTimeout is how long a sweep that was asked to stop may still write what it has done.
	settleTimeout = 10 * time.Second
	// settleTries bounds how often a tombstone is read again because somebody else wrote.
	settleTries = 3
	// Bounds of the API.
	maxDigests, maxReason = 256, 1024
	// allDigests bounds the digests of a whole tombstone that parts are added to, so that the API
	// server can store it.
	allDigests = 8192
)

// claim names one entry of one tombstone.
type claim struct {
	tombstone       types.UID
	repository, tag string
}

func claimOf(e plan.Entry) claim { return claim{e.UID, e.Repository, e.Tag} }

// claim marks, as Sweeping, every entry of a unit that may go in a repository where something
// does (I13). A tombstone that somebody else wrote since it was read is not claimed, and so keeps
// its digests: the next run reads it again.
func (s *sweeper) claim(ctx context.Context, u unit) error {
	return s.each(u, func(t *v1alpha1.Tombstone) error {
		es := s.entriesOf(t, func(e plan.Entry) bool { return e.MayGo() && len(u.deletions[e.Repository]) > 0 })
		if len(es) == 0 {
			return nil
		}
		err := s.claimEntries(ctx, t, es)
		switch {
		case apierrors.IsConflict(err), apierrors.IsNotFound(err):
			s.log.Info("A tombstone changed meanwhile and is left to the next run", "tombstone", t.Name)
			return nil
		case err != nil:
			return fmt.Errorf("claiming tombstone %s/%s: %w", t.Namespace, t.Name, err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, e := range es {
			s.claims[claimOf(e)] = true
		}
		return nil
	})
}

// each does something with all tombstones of a unit, some at a time.
func (s *sweeper) each(u unit, f func(*v1alpha1.Tombstone) error) error {
	errs := make([]error, len(u.tombstones))
	var g errgroup.Group
	g.SetLimit(s.reader.Requests())
	for i, t := range u.tombstones {
		g.Go(func() error {
			errs[i] = f(t)
			return nil // one that fails does not stop another
		})
	}
	_ = g.Wait()
	return errors.Join(errs...)
}

// claimEntries stores, first, the parts that go with the entries' digests: once an index is
// deleted nobody else knows its children (I4).
func (s *sweeper) claimEntries(ctx context.Context, t *v1alpha1.Tombstone, es []plan.Entry) error {
	grown, room := false, allDigests
	for _, a := range t.Spec.Artifacts {
		room -= len(a.Digests)
	}
	for _, e := range es {
		i := slices.IndexFunc(t.Spec.Artifacts, func(a v1alpha1.TombstoneArtifact) bool { return a.Repository == e.Repository && a.Tag == e.Tag })
		a := &t.Spec.Artifacts[i]
		if parts := s.partsOf(*a, room); len(parts) > 0 {
			// In front, because the last digest is the one that a restore takes.
			a.Digests = append(parts, a.Digests...)
			grown, room = true, room-len(parts)
		}
	}
	if grown {
		if err := s.api.Update(ctx, t); err != nil {
			return err
		}
	}
	for _, e := range es {
		status := t.Entry(e.Repository, e.Tag)
		status.State = v1alpha1.TombstoneSweeping
		t.SetEntry(status)
	}
	t.Summarise()
	return s.api.Status().Update(ctx, t)
}

// partsOf returns the digests that go with an entry's own and that its tombstone does not have
// yet, as many as it can take. The others go too; only an interrupted sweep would leave them.
func (s *sweeper) partsOf(a v1alpha1.TombstoneArtifact, room int) []string {
	var parts []string
	for _, own := range a.Digests {
		for _, d := range s.readings[a.Repository].Graph.Parts(digest.Digest(own)) {
			v := s.plan[reading.Key{Repository: a.Repository, Digest: d}]
			goes := (v.Delete || v.Reason == plan.OverBudget) && !v.Missing
			if goes && !slices.Contains(a.Digests, d.String()) && !slices.Contains(parts, d.String()) {
				parts = append(parts, d.String())
			}
		}
	}
	return parts[:min(len(parts), max(0, min(room, maxDigests-len(a.Digests))))]
}

// entriesOf returns the entries of a tombstone, as planned.
func (s *sweeper) entriesOf(t *v1alpha1.Tombstone, which func(plan.Entry) bool) []plan.Entry {
	return slices.DeleteFunc(slices.Clone(s.byTombstone[t.UID]), func(e plan.Entry) bool { return !which(e) })
}

// byTombstone sorts entries by the tombstone that they are of.
func byTombstone(entries map[string][]plan.Entry) map[types.UID][]plan.Entry {
	sorted := map[types.UID][]plan.Entry{}
	for _, repository := range slices.Sorted(maps.Keys(entries)) {
		for _, e := range entries[repository] {
			sorted[e.UID] = append(sorted[e.UID], e)
		}
	}
	return sorted
}

// settle writes what became of a unit's tombstones, also when the sweep was asked to stop: a
// restore waits for entries that are claimed. Each write fails if anybody else wrote meanwhile.
func (s *sweeper) settle(ctx context.Context, u unit) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	return s.each(u, func(t *v1alpha1.Tombstone) error {
		if err := s.settleTombstone(ctx, t); err != nil {
			return fmt.Errorf("settling tombstone %s/%s: %w", t.Namespace, t.Name, err)
		}
		return nil
	})
}

// settleTombstone writes what became of a tombstone, or deletes it when nothing is left of it:
// then what would have been written is of no use to anybody.
func (s *sweeper) settleTombstone(ctx context.Context, t *v1alpha1.Tombstone) error {
	es, uid := s.entriesOf(t, func(e plan.Entry) bool { return e.Candidate }), t.UID
	for range settleTries {
		var err error
		changed := s.outcome(t, es)
		switch {
		case len(t.Spec.Artifacts) > 0 && t.Consumed():
			err = s.api.Delete(ctx, t, client.Preconditions{UID: &t.UID, ResourceVersion: &t.ResourceVersion})
		case changed:
			t.Summarise()
			err = s.api.Status().Update(ctx, t)
		}
		if !apierrors.IsConflict(err) {
			return client.IgnoreNotFound(err)
		}
		if err = s.api.Get(ctx, client.ObjectKeyFromObject(t), t); err != nil || t.UID != uid { // it was deleted, and recorded anew
			return client.IgnoreNotFound(err)
		}
	}
	return errors.New("others keep writing it; the next run goes on")
}

// outcome sets the entries to what became of their digests and reports whether that is news.
func (s *sweeper) outcome(t *v1alpha1.Tombstone, es []plan.Entry) (changed bool) {
	for _, e := range es {
		i := slices.IndexFunc(t.Spec.Artifacts, func(a v1alpha1.TombstoneArtifact) bool { return a.Repository == e.Repository && a.Tag == e.Tag })
		if i < 0 {
			continue
		}
		was := t.Entry(e.Repository, e.Tag)
		switch was.State {
		case v1alpha1.TombstoneUntagged, v1alpha1.TombstoneKept, v1alpha1.TombstoneSweeping:
		case e.Status.State: // Restoring, by a claim that was abandoned: a restore that goes on after all claims it again
		default:
			continue
		}
		if is := s.become(e, t.Spec.Artifacts[i], was); !equality.Semantic.DeepEqual(is, was) {
			t.SetEntry(is)
			changed = true
		}
	}
	return changed
}

// become is what an entry has become. One in grace is left as it is, unless a purge that died or a restore that was abandoned
// has claimed it, or it is known that nothing can be restored from it.
func (s *sweeper) become(e plan.Entry, a v1alpha1.TombstoneArtifact, was v1alpha1.TombstoneArtifactStatus) v1alpha1.TombstoneArtifactStatus {
	is := was
	if s.backInUse(e) {
		is.State, is.Reason = v1alpha1.TombstoneRestored, "InUse: something keeps it again"
		return is
	}
	is.MissingSince = s.missingSince(a, was)
	last := reading.Key{Repository: a.Repository, Digest: digest.Digest(a.Digests[len(a.Digests)-1])}
	if e.Keep == plan.GracePeriod && was.State != v1alpha1.TombstoneSweeping {
		if was.State == v1alpha1.TombstoneRestoring {
			is.State = v1alpha1.TombstoneUntagged // it can be restored again
		}
		lost, taken := strings.HasPrefix(was.Reason, v1alpha1.ReasonUndoLost), strings.HasPrefix(was.Reason, v1alpha1.ReasonTagTaken)
		switch {
		case s.missing[last] && !lost && !taken:
			is.Reason = v1alpha1.Clip(v1alpha1.ReasonUndoLost+": the registry says that "+a.Digests[len(a.Digests)-1]+" does not exist", maxReason)
		case s.missing != nil && !s.missing[last] && lost:
			is.Reason = ""
		}
		return is
	}
	if strings.HasPrefix(was.Reason, string(plan.Lost)) && slices.ContainsFunc(a.Digests, func(d string) bool {
		return s.plan[reading.Key{Repository: a.Repository, Digest: digest.Digest(d)}].Missing
	}) {
		is.State = v1alpha1.TombstoneKept // until somebody has read it
		return is
	}
	is.State, is.Reason = v1alpha1.TombstonePurged, ""
	if v, kept := s.keptOf(a); kept {
		is.State, is.Reason, is.Deleted = v1alpha1.TombstoneKept, reasonOf(v, was), s.deletedOf(a, was)
	}
	return is
}

// missingSince is since when the registry says that a digest of an entry does not exist which no purge
// has deleted; nil when it does not say so. What was not asked stays as it was.
func (s *sweeper) missingSince(a v1alpha1.TombstoneArtifact, was v1alpha1.TombstoneArtifactStatus) *metav1.Time {
	asked := false
	for _, d := range a.Digests {
		at := reading.Key{Repository: a.Repository, Digest: digest.Digest(d)}
		v := s.verdict(at)
		missing := s.missing[at] || (v.Missing && !v.Delete)
		asked = asked || s.missing != nil || s.plan[at].Digest != ""
		if missing && !slices.Contains(was.Deleted, d) {
			if was.MissingSince != nil {
				return was.MissingSince
			}
			return new(metav1.NewTime(s.planned.Now))
		}
	}
	if !asked {
		return was.MissingSince
	}
	return nil
}

// deletedOf are the digests of an entry that this purge and those before have deleted.
func (s *sweeper) deletedOf(a v1alpha1.TombstoneArtifact, was v1alpha1.TombstoneArtifactStatus) []string {
	var all []string
	for _, d := range a.Digests {
		if v := s.verdict(reading.Key{Repository: a.Repository, Digest: digest.Digest(d)}); slices.Contains(was.Deleted, d) || (v.Delete && !v.Missing) {
			all = append(all, d)
		}
	}
	return all
}

// keptOf returns the first verdict that keeps a digest of an entry.
func (s *sweeper) keptOf(a v1alpha1.TombstoneArtifact) (plan.Verdict, bool) {
	for _, d := range a.Digests {
		if v := s.verdict(reading.Key{Repository: a.Repository, Digest: digest.Digest(d)}); !v.Delete {
			return v, true
		}
	}
	return plan.Verdict{}, false
}

// reasonOf is the reason of an entry that is kept. That its tag is ours to remove must not be forgotten over it, nor that the
// tag is at another digest, nor what needed it when the repository could be read.
func reasonOf(v plan.Verdict, was v1alpha1.TombstoneArtifactStatus) string {
	if v.Reason == plan.Unreadable && plan.KeptByContent(was) {
		return was.Reason
	}
	text := string(v.Reason) + ": " + v.Message
	for _, lasting := range []string{v1alpha1.TagDeleteUnsupported, v1alpha1.ReasonTagTaken} {
		if strings.HasPrefix(was.Reason, lasting) {
			text = lasting + ": " + text
		}
	}
	return v1alpha1.Clip(text, maxReason)
}

// verdict is what became of a digest so far. One that the sweep has not come to is kept.
func (s *sweeper) verdict(at reading.Key) plan.Verdict {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v, ok := s.settled[at]; ok {
		return v
	}
	v, planned := s.plan[at]
	if !planned {
		return plan.Verdict{Repository: at.Repository, Digest: at.Digest, Reason: plan.Held, Message: "its tombstone changed while the purge ran"}
	}
	if v.Delete {
		v.Delete, v.Reason, v.Message = false, s.rest.Reason, s.rest.Message
	}
	return v
}

func (s *sweeper) settleVerdict(v plan.Verdict) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := v.Key()
	if was := s.settled[at]; was.Delete && !was.Missing {
		s.deleted--
	}
	s.settled[at] = v
	if v.Delete && !v.Missing {
		s.deleted++
		s.log.Info("Deleted a digest", "event", eventDeleted, "store", s.key.String(), "repository", v.Repository, "digest", v.Digest)
	}
}

func (s *sweeper) isSettled(v plan.Verdict) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.settled[v.Key()]
	return ok
}

// keepParts keeps a digest that the registry refused to delete, and all that it is made of.
func (v *visit) keepParts(ev *evidence, d digest.Digest, why plan.Reason, message string) {
	for _, part := range ev.graph.Parts(d) {
		if verdict, planned := v.plan[v.at(part)]; planned && verdict.Delete && !v.isSettled(verdict) {
			verdict.Keep(why, message)
			v.settleVerdict(verdict)
		}
	}
}

// keepRest keeps what an error has left over.
func (s *sweeper) keepRest(ctx context.Context, vs []plan.Verdict, err error) {
	rest := plan.Verdict{Reason: plan.Unreadable, Message: err.Error()}
	switch {
	case ctx.Err() != nil:
		return // Interrupted, as everything that the sweep has not come to
	case errors.Is(err, registry.ErrUnsupported):
		rest = plan.Verdict{Reason: plan.Unsupported, Message: "deletion is disabled at the registry"}
		s.mu.Lock()
		s.rest = rest
		s.mu.Unlock()
	case errors.Is(err, plan.ErrRefused):
		return
	}
	for _, v := range vs {
		if !s.isSettled(v) {
			v.Delete, v.Reason, v.Message = false, rest.Reason, rest.Message
			s.settleVerdict(v)
		}
	}
}

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
	// settleTries is how often a tombstone is written at most if other writers change it meanwhile.
	settleTries = 3
	// Limits of the API.
	maxDigests, maxReason = 256, 1024
	// allDigests is the most digests of a whole tombstone to which parts are added, so that the API server can store it.
	allDigests = 8192
)

// claim identifies one entry of one tombstone.
type claim struct {
	tombstone       types.UID
	repository, tag string
}

func claimOf(e plan.Entry) claim { return claim{e.UID, e.Repository, e.Tag} }

// claim marks as Sweeping every entry of a unit that may be deleted, in the repositories that have deletions (I13). A
// tombstone that was written since it was read is not claimed and so keeps its digests. The next run reads it again.
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

// each calls f for all tombstones of a unit, several at a time.
func (s *sweeper) each(u unit, f func(*v1alpha1.Tombstone) error) error {
	errs := make([]error, len(u.tombstones))
	var g errgroup.Group
	g.SetLimit(s.reader.Requests())
	for i, t := range u.tombstones {
		g.Go(func() error {
			errs[i] = f(t)
			return nil // an error does not stop the others
		})
	}
	_ = g.Wait()
	return errors.Join(errs...)
}

// claimEntries first stores the parts that are deleted with the entries' digests, because the children
// of an index are known nowhere else once it is deleted (I4). Then it marks the entries as Sweeping.
func (s *sweeper) claimEntries(ctx context.Context, t *v1alpha1.Tombstone, es []plan.Entry) error {
	grown, room := false, allDigests
	for _, a := range t.Spec.Artifacts {
		room -= len(a.Digests)
	}
	for _, e := range es {
		i := slices.IndexFunc(t.Spec.Artifacts, func(a v1alpha1.TombstoneArtifact) bool { return a.Repository == e.Repository && a.Tag == e.Tag })
		a := &t.Spec.Artifacts[i]
		if parts := s.partsOf(*a, room); len(parts) > 0 {
			// In front, because a restore takes the last digest.
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

// partsOf returns the digests that are deleted with the digests of an entry and that the entry does not list yet, at most
// as many as it has room for. The others are deleted too, but an interrupted sweep would leave them in the registry.
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

// entriesOf returns the planned entries of a tombstone that which selects.
func (s *sweeper) entriesOf(t *v1alpha1.Tombstone, which func(plan.Entry) bool) []plan.Entry {
	return slices.DeleteFunc(slices.Clone(s.byTombstone[t.UID]), func(e plan.Entry) bool { return !which(e) })
}

// byTombstone groups entries by their tombstone.
func byTombstone(entries map[string][]plan.Entry) map[types.UID][]plan.Entry {
	sorted := map[types.UID][]plan.Entry{}
	for _, repository := range slices.Sorted(maps.Keys(entries)) {
		for _, e := range entries[repository] {
			sorted[e.UID] = append(sorted[e.UID], e)
		}
	}
	return sorted
}

// settle writes what became of a unit's tombstones, also when the sweep was asked to stop, because a
// restore waits while entries are claimed. Each write fails if the tombstone was written meanwhile.
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

// settleTombstone writes what became of a tombstone, or deletes the tombstone if all of its entries are
// restored or purged. In that case it does not write the status first, because nothing would read it.
func (s *sweeper) settleTombstone(ctx context.Context, t *v1alpha1.Tombstone) error {
	es, key, uid := s.entriesOf(t, func(e plan.Entry) bool { return e.Candidate }), client.ObjectKeyFromObject(t), t.UID
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
		*t = v1alpha1.Tombstone{}                                     // a field that the stored tombstone lacks would keep its value
		if err = s.api.Get(ctx, key, t); err != nil || t.UID != uid { // it was deleted and recorded anew
			return client.IgnoreNotFound(err)
		}
	}
	return errors.New("others keep writing it; the next run goes on")
}

// outcome sets the entries to what became of their digests, and reports whether anything changed.
func (s *sweeper) outcome(t *v1alpha1.Tombstone, es []plan.Entry) (changed bool) {
	for _, e := range es {
		i := slices.IndexFunc(t.Spec.Artifacts, func(a v1alpha1.TombstoneArtifact) bool { return a.Repository == e.Repository && a.Tag == e.Tag })
		if i < 0 {
			continue
		}
		was := t.Entry(e.Repository, e.Tag)
		switch was.State {
		case v1alpha1.TombstoneUntagged, v1alpha1.TombstoneKept, v1alpha1.TombstoneSweeping:
		case e.Status.State: // Restoring, if the claim was abandoned: a restore that does continue claims the entry again
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

// become returns the new status of an entry. An entry in its grace period stays as it is, unless a
// purge that died or an abandoned restore has claimed it, or it is known that it cannot be restored.
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
		is.State = v1alpha1.TombstoneKept // until a user has read it
		return is
	}
	is.State, is.Reason = v1alpha1.TombstonePurged, ""
	if v, kept := s.keptOf(a); kept {
		is.State, is.Reason, is.Deleted = v1alpha1.TombstoneKept, reasonOf(v, was), s.deletedOf(a, was)
	}
	return is
}

// missingSince returns since when the registry says that a digest of an entry does not exist although no purge
// has deleted it; nil if the registry does not say so. If the registry was not asked, the value does not change.
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

// deletedOf returns the digests of an entry that this purge and earlier ones have deleted.
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

// reasonOf returns the reason of an entry that is kept. The new reason must still
// say that the tag is nfo's to remove, or that the tag is at another digest. If the
// repository cannot be read, the reason for which its content kept the entry stays.
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

// verdict returns what has become of a digest so far. A digest that the sweep has not reached is kept.
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

// keepParts keeps a digest that the registry did not delete, and all of its parts.
func (v *visit) keepParts(ev *evidence, d digest.Digest, why plan.Reason, message string) {
	for _, part := range ev.graph.Parts(d) {
		if verdict, planned := v.plan[v.at(part)]; planned && verdict.Delete && !v.isSettled(verdict) {
			verdict.Keep(why, message)
			v.settleVerdict(verdict)
		}
	}
}

// keepRest keeps the digests that were not reached because of an error.
func (s *sweeper) keepRest(ctx context.Context, vs []plan.Verdict, err error) {
	rest := plan.Verdict{Reason: plan.Unreadable, Message: err.Error()}
	switch {
	case ctx.Err() != nil:
		return // Interrupted, like everything that the sweep has not reached
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

package mirror

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/purge/plan"
	"github.com/nfo-operator/nfo/internal/purge/reading"
	"github.com/nfo-operator/nfo/internal/registry"
)

// visit removes tags and digests from one repository. After an
// error it restores what was removed, and gives back the Artifacts.
func (s *sweeper) visit(ctx context.Context, now *mirrored, v *visited) error {
	err := s.removeFrom(ctx, now, v)
	if err == nil {
		return nil
	}
	why := plan.Unreadable
	switch {
	case ctx.Err() != nil:
		why = plan.Interrupted
	case errors.Is(err, registry.ErrDenied):
		why = plan.Denied
	case errors.Is(err, registry.ErrUnsupported):
		why = plan.Unsupported
	}
	s.mu.Lock()
	if why == plan.Unsupported {
		s.over = err
	}
	s.mu.Unlock()
	return errors.Join(err, s.restore(ctx, v, why, err.Error()))
}

func (s *sweeper) removeFrom(ctx context.Context, now *mirrored, v *visited) error {
	r := s.plan.reader.Read(ctx, v.repository, slices.Concat(now.starts(v.path), s.plan.unreferenced[v.repository]))
	if r.Err != nil {
		return fmt.Errorf("reading %s: %w", v.repository, r.Err)
	}
	ds, tags := now.removable(r, v.path, v.items)
	s.ask(r, v, ds)
	v.keepUsed(r, ds)
	for _, tag := range slices.DeleteFunc(tags, v.follows) {
		v.tags[tag] = r.Graph.Target(tag).String() // before the removal, because its answer may be lost
		if err := s.env.Registry.Untag(ctx, v.repository, tag); err != nil {
			return err
		}
	}
	for _, layer := range r.Graph.Layers(ds) {
		v.gone = append(v.gone, nil)
		for _, d := range layer {
			if err := s.deleteOne(ctx, v, d); err != nil {
				return err
			}
		}
	}
	return nil
}

// deleteOne deletes a digest and keeps its bytes.
func (s *sweeper) deleteOne(ctx context.Context, v *visited, d digest.Digest) error {
	if v.kept[d] {
		return nil
	}
	m, err := s.plan.reader.Whole(ctx, reading.Key{Repository: v.repository, Digest: d})
	if errors.Is(err, registry.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	last := len(v.gone) - 1
	v.gone[last] = append(v.gone[last], m)
	s.mu.Lock()
	if s.held += len(m.Bytes); s.held > reading.MaxHeld {
		err = fmt.Errorf("%w: the image manifests that go together have more than %d bytes", registry.ErrUnreadable, reading.MaxHeld)
	}
	s.mu.Unlock()
	if err != nil {
		return err
	}
	stays, err := s.delete(ctx, v, d)
	if stays {
		v.gone[last] = v.gone[last][:len(v.gone[last])-1]
		s.mu.Lock()
		s.held -= len(m.Bytes)
		s.mu.Unlock()
	}
	if errors.Is(err, registry.ErrNotFound) {
		return nil
	}
	return err
}

// settle reads the cluster again after deletions, restores what is used now, and deletes the other Artifacts. It does so
// also if the purge was asked to stop. If it cannot read the cluster, the Artifacts stay Releasing for the next purge.
func (s *sweeper) settle(ctx context.Context, visits []*visited) error {
	defer func() { s.held = 0 }()
	visits = slices.DeleteFunc(visits, func(v *visited) bool {
		return len(v.digests())+len(v.tags) == 0 && !slices.ContainsFunc(v.items, func(i *candidate) bool { return i.Delete })
	})
	if len(visits) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTimeout)
	defer cancel()
	after, err := s.readAgain(ctx)
	if err != nil {
		err = fmt.Errorf("looking who uses what was removed: %w", err)
		s.doubted(err)
		for _, v := range visits {
			v.keep(plan.UseUnknown, "its copy was removed, and it could not be read afterwards who uses it; the next purge goes on")
			err = errors.Join(err, s.withdraw(ctx, v))
		}
		return err
	}
	var errs []error
	for _, v := range visits {
		if why := v.neededBy(after); why != "" {
			s.env.Log.Info("Putting back what is used again", "event", eventPutBack, "store", s.store(), "repository", v.repository, "why", why)
			errs = append(errs, s.restore(ctx, v, plan.InUse, why))
			continue
		}
		errs = append(errs, s.finish(ctx, after, v))
	}
	return errors.Join(errs...)
}

// withdraw pushes again the digests whose deletion was requested, parts first, which cancels the requests.
func (s *sweeper) withdraw(ctx context.Context, v *visited) (failed error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), restoreTimeout)
	defer cancel()
	for _, layer := range slices.Backward(v.gone) {
		for _, m := range layer {
			if v.asked[m.Descriptor.Digest] {
				failed = errors.Join(failed, s.env.Registry.Restore(ctx, v.repository, m, nil))
			}
		}
	}
	return failed
}

func (s *sweeper) doubted(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.doubt = errors.Join(s.doubt, err)
}

func (v *visited) keep(why plan.Reason, message string) {
	for _, i := range v.items {
		if i.Delete {
			i.Keep(why, message)
		}
	}
}

// neededBy returns what now needs something that was removed; "" for nothing. It is pure.
func (v *visited) neededBy(after *mirrored) string {
	for _, i := range v.items {
		if i.orphan() {
			continue
		}
		if use := after.use(i.mirroredImage); use != "" { // even if an earlier purge removed its copy
			return use
		}
	}
	mine, gone := ids(v.items), v.digests()
	for _, u := range after.used[v.path] {
		if _, tagged := v.tags[u.Tag]; u.Any || gone[u.Digest] || tagged && u.Digest == "" {
			return u.String()
		}
	}
	for _, n := range after.named[v.path] {
		a := after.artifacts[n]
		if _, tagged := v.tags[a.image.Tag]; !mine[string(a.UID)] && (tagged && a.image.Digest == "" || gone[a.image.Digest] || gone[a.Status.Digest]) {
			return "Artifact " + a.Namespace + "/" + a.Name + " names it"
		}
	}
	return ""
}

// digests returns the deleted digests.
func (v *visited) digests() map[string]bool {
	all := map[string]bool{}
	for _, layer := range v.gone {
		for _, m := range layer {
			all[m.Descriptor.Digest.String()] = true
		}
	}
	return all
}

// restore restores what was removed from a repository, parts first, and
// gives back its Artifacts. What cannot be restored is copied again.
func (s *sweeper) restore(ctx context.Context, v *visited, why plan.Reason, message string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), restoreTimeout)
	defer cancel()
	removed := len(v.tags) > 0
	var lost error
	restored := map[string]bool{}
	for _, layer := range slices.Backward(v.gone) {
		for _, m := range layer {
			removed = true
			restored[m.Descriptor.Digest.String()] = true
			lost = errors.Join(lost, s.env.Registry.Restore(ctx, v.repository, m, v.tagsAt(m.Descriptor.Digest.String())))
		}
	}
	for tag, d := range v.tags { // tags of digests that were not deleted
		if restored[d] || d == "" {
			continue
		}
		m, err := s.env.Registry.Manifest(ctx, v.repository, digest.Digest(d))
		if err == nil {
			err = s.env.Registry.Restore(ctx, v.repository, m, []string{tag})
		}
		lost = errors.Join(lost, err)
	}
	v.gone, v.tags = nil, map[string]string{} // nothing remains to be verified
	if lost != nil {
		s.doubted(lost)
		s.env.Log.Warn("Not all could be put back; it is copied again", "repository", v.repository, "error", lost)
	}
	v.keep(why, message)
	var errs []error
	for _, i := range v.items {
		errs = append(errs, s.giveBack(ctx, i, removed))
	}
	return errors.Join(errs...)
}

func (v *visited) tagsAt(d string) (tags []string) {
	for tag, at := range v.tags {
		if at == d {
			tags = append(tags, tag)
		}
	}
	slices.Sort(tags)
	return tags
}

// finish deletes the Artifacts of a repository whose copies were removed.
func (s *sweeper) finish(ctx context.Context, after *mirrored, v *visited) error {
	s.mu.Lock()
	for _, layer := range v.gone {
		for _, m := range layer {
			s.plan.deleted[reading.Key{Repository: v.repository, Digest: m.Descriptor.Digest}] = true
			s.env.Log.Info("Deleted a digest", "event", eventDeleted, "store", s.store(), "repository", v.repository, "digest", m.Descriptor.Digest)
		}
	}
	s.mu.Unlock()
	var errs []error
	for _, i := range v.items {
		if !i.Delete || i.orphan() {
			continue
		}
		errs = append(errs, s.finishOne(ctx, after, i))
	}
	return errors.Join(errs...)
}

// store returns the name of the mirror's store, for the log.
func (s *sweeper) store() string { return client.ObjectKeyFromObject(s.plan.seen.Store).String() }

func (s *sweeper) finishOne(ctx context.Context, after *mirrored, i *candidate) error {
	for _, n := range after.named[i.path] {
		if a := after.artifacts[n]; a.UID == i.UID {
			i.mirroredImage = a
		}
	}
	for range settleTries {
		a := i.mirroredImage.Artifact
		if a.Status.UnusedSince == nil || !a.Releasing() || a.Kept() { // a use was seen meanwhile, or the Artifact is to be kept
			i.Keep(plan.InUse, "it was used again while the purge ran")
			return s.giveBack(ctx, i, true)
		}
		err := s.env.Client.Delete(ctx, a, client.Preconditions{UID: &a.UID, ResourceVersion: &a.ResourceVersion})
		if err == nil || apierrors.IsNotFound(err) {
			return nil
		}
		if !apierrors.IsConflict(err) {
			return fmt.Errorf("deleting Artifact %s, whose copy has gone: %w", i.Verdict.Artifact, err)
		}
		var now v1alpha1.Artifact
		if err := s.env.Client.Get(ctx, client.ObjectKeyFromObject(a), &now); err != nil {
			return client.IgnoreNotFound(err)
		}
		i.mirroredImage.Artifact = &now
	}
	return fmt.Errorf("deleting Artifact %s, whose copy has gone: others keep writing it; the next purge goes on", i.Verdict.Artifact)
}

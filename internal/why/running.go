package why

import (
	"context"
	"slices"
	"strings"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/inventory"
	"github.com/nfo-operator/nfo/internal/plugin/running"
	"github.com/nfo-operator/nfo/internal/reference"
)

// mayBeUsed is part of a verdict while it is not known what all workloads run.
const mayBeUsed = "it may be in use: not all that workloads run could be read. As long as it may be, nothing of it is released"

// concerned returns the stores whose workloads the answer about an object depends on.
func (e *evidence) concerned(o reference.Object) []*v1alpha1.ArtifactStore {
	var all []*v1alpha1.ArtifactStore
	switch subject := e.objects[o].(type) {
	case *v1alpha1.ArtifactManifest:
		all = append(all, e.store(subject.Spec.ArtifactStoreRef.Name))
	case *v1alpha1.ArtifactStore:
		if len(e.naming[reference.Key(o)]) > 0 { // workloads keep the store's manifests, not the store itself
			all = append(all, subject)
		}
	}
	for i := range e.tombstones {
		t := &e.tombstones[i]
		if o.Kind == v1alpha1.KindTombstone && t.Name == o.Name || o.Kind == v1alpha1.KindArtifactManifest && t.Spec.Manifest.Name == o.Name {
			all = append(all, e.storeAt(t.Spec.RegistryURL))
		}
	}
	return all
}

// readWorkloads reads what the workloads run that the stores select. A nil store does not exist and is skipped.
func (e *evidence) readWorkloads(ctx context.Context, r running.Reader, stores ...*v1alpha1.ArtifactStore) error {
	e.running = map[string]running.Running{}
	for _, s := range stores {
		if s == nil {
			continue
		}
		if _, have := e.running[s.Name]; have {
			continue
		}
		one, err := r.Of(ctx, s)
		if err != nil {
			return err
		}
		e.running[s.Name] = one
		e.unseen = append(e.unseen, slices.DeleteFunc([]string{one.Missing, one.Doubt}, func(text string) bool { return text == "" })...)
	}
	return nil
}

// unsure reports whether workloads may use artifacts of a manifest although none is known to.
func (e *evidence) unsure(m *v1alpha1.ArtifactManifest) bool {
	r := e.running[m.Spec.ArtifactStoreRef.Name]
	return r.Missing != "" || r.Doubt != ""
}

// workloads returns the workloads that use artifacts of a manifest.
func (e *evidence) workloads(m *v1alpha1.ArtifactManifest) []*link {
	s := e.store(m.Spec.ArtifactStoreRef.Name)
	if s == nil {
		return nil
	}
	var now []reference.Holder
	r := e.running[s.Name]
	if l, err := s.Location(); err == nil {
		now = r.Holders(m, inventory.Entries(m, l))
	}
	var all []*link
	for _, h := range now {
		all = append(all, e.workload(h, because(h)))
	}
	for _, h := range r.Recorded(m, now) {
		all = append(all, e.workload(h, because(h)+", as nfo saw it at "+r.Observed))
	}
	return all
}

// workload returns the link of a workload, which nothing keeps.
func (e *evidence) workload(h reference.Holder, because string) *link {
	e.shown[h.Object] = true
	return &link{Object: h.String(), Because: because, Terminating: h.Terminating, stands: h.Stands()}
}

// users returns the workloads that use an image and are not in the answer yet.
func (e *evidence) users(i image, s *v1alpha1.ArtifactStore) []*link {
	tag, digests := i.Tag, []string(nil)
	if i.Digest != "" {
		tag, digests = "", []string{i.Digest.String()}
	}
	var all []reference.Holder
	by := map[reference.Object][]string{}
	for _, u := range e.running[s.Name].Of(i.Repository, tag, digests...) {
		if e.shown[u.Holder] {
			continue
		}
		if by[u.Holder] == nil {
			all = append(all, reference.Holder{Object: u.Holder, Terminating: u.Terminating})
		}
		if part := running.Because(u.Part); !slices.Contains(by[u.Holder], part) {
			by[u.Holder] = append(by[u.Holder], part)
		}
	}
	reference.SortHolders(all)
	var links []*link
	for _, h := range all {
		links = append(links, e.workload(h, v1alpha1.FirstOf(by[h.Object], reference.NamedHolders)))
	}
	return links
}

// usedBy says which workload keeps a released entry from a purge, or returns "" if
// none does. If not all workloads could be read, it uses what the last purge recorded.
func (e *evidence) usedBy(t *v1alpha1.Tombstone, a v1alpha1.TombstoneArtifact) string {
	r := e.runningAt(t)
	entry := t.Entry(a.Repository, a.Tag)
	if by := r.Keeps(t, a, t.MovedOn(entry)); by != "" {
		return by
	}
	if seen, ok := strings.CutPrefix(strings.TrimPrefix(entry.Reason, v1alpha1.TagDeleteUnsupported+": "), v1alpha1.ReasonInUse+": "); ok && r.Missing != "" {
		return seen + ", as the last purge saw"
	}
	return ""
}

// runningAt returns what is known of the workloads of a tombstone's store.
func (e *evidence) runningAt(t *v1alpha1.Tombstone) running.Running {
	s := e.storeAt(t.Spec.RegistryURL)
	if s == nil {
		return running.Running{}
	}
	return e.running[s.Name]
}

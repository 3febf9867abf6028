package mark

import (
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/internal/clusterregistry/layout"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
)

// repository is the mark of one repository.
type repository struct {
	*Mark
	name string
	// keepAll is set if the needs of the repository are unknown. Everything in it is then kept.
	keepAll bool
	// revisions are the manifests of the repository, including those that are only in a trash, which can be restored.
	revisions map[digest.Digest]state
	// asked has the revisions whose deletion was requested: they are no roots.
	asked map[digest.Digest]bool
	// kept and layers are the reached revisions and layer links.
	// queue has the kept revisions whose needs were not read yet.
	kept, layers map[key]struct{}
	queue        []digest.Digest
	// referrers are the revisions that were not kept when they were read, by their subject.
	referrers map[digest.Digest][]digest.Digest
}

// state is the state of a link.
type state struct {
	// placed is set if the link is in its place, or if another cycle has hidden
	// it and may restore it. young is set if it is younger than the grace period.
	placed, young bool
}

// read marks what the repository needs, and records what it does not need.
func (r *repository) read() error {
	for _, step := range []func() error{r.readDeletions, r.readRevisions, r.readLayers} {
		if err := step(); err != nil {
			return err
		}
	}
	return r.decide()
}

// readRevisions marks the revisions that are kept, and what they need.
func (r *repository) readRevisions() error {
	r.revisions, r.kept, r.layers = map[digest.Digest]state{}, map[key]struct{}{}, map[key]struct{}{}
	if err := r.states(layout.RevisionsOf(r.name), r.revisionPath, r.revisions, func(algorithm string) {
		r.doubt("revisions/"+algorithm, fmt.Errorf("no digest algorithm has this name: %w", errBroken))
	}); err != nil {
		return err
	}
	for d, s := range r.revisions {
		if r.keepAll || r.isRoot(d, s) {
			r.keep(d)
		}
	}
	for _, step := range []func() error{r.readTags, r.follow, r.readReferrers} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (r *repository) revisionPath(d digest.Digest) string { return layout.RevisionPath(r.name, d) }
func (r *repository) layerPath(d digest.Digest) string    { return layout.LayerPath(r.name, d) }

// states reads the state of all links below a folder, in their places and in the trash.
func (r *repository) states(folder string, link func(digest.Digest) string, into map[digest.Digest]state, unknown func(string)) error {
	return r.everywhere(folder, r.again != nil, func(at, cycle string) error {
		return r.digestsBelow(at, func(d digest.Digest) error {
			if into[d].placed {
				return nil
			}
			file := link(d)
			if cycle != "" {
				file = volume.HiddenPath(cycle, file)
			}
			info, err := r.volume.Stat(file)
			if volume.Missing(err) {
				return nil
			}
			if err != nil {
				return err
			}
			s := into[d]
			into[d] = state{placed: s.placed || cycle != r.cycle, young: s.young || r.young(info)}
			return nil
		}, unknown)
	})
}

func (r *repository) isRoot(d digest.Digest, s state) bool {
	return s.young || s.placed && (r.again != nil || !r.untagged && !r.asked[d])
}

// doubt keeps the whole repository, and records the reason.
func (r *repository) doubt(what string, err error) {
	r.tally.problem(fmt.Sprintf("%s %s: %v", r.name, what, err))
	r.keepAll = true
	for d := range r.revisions {
		r.keep(d)
	}
}

// keep marks a revision as kept. The next follow marks what it needs.
func (r *repository) keep(d digest.Digest) {
	k := keyOf(d)
	if _, ok := r.kept[k]; !ok {
		r.kept[k] = struct{}{}
		r.queue = append(r.queue, d)
	}
}

// follow marks what the kept revisions need.
func (r *repository) follow() error {
	for len(r.queue) > 0 {
		d := r.queue[len(r.queue)-1]
		r.queue = r.queue[:len(r.queue)-1]
		if err := r.followOne(d); err != nil {
			return err
		}
	}
	return nil
}

func (r *repository) followOne(d digest.Digest) error {
	n, blob, err := r.needsOf(d)
	r.blobs.add(blob)
	if errors.Is(err, errBroken) {
		r.doubt(d.String(), err)
	} else if err != nil {
		return err
	}
	for c := range n.contents.all() {
		if err := r.keepLayer(c); err != nil {
			return err
		}
	}
	for child := range n.children.all() {
		if err := r.keepChild(child); err != nil {
			return err
		}
	}
	for _, referrer := range r.referrers[d] {
		r.keep(referrer)
	}
	return nil
}

func (r *repository) needsOf(d digest.Digest) (n needs, blob digest.Digest, err error) {
	blob, err = r.blobOf(r.revisionPath(d), d)
	if err == nil {
		n, err = r.manifest(blob)
	}
	return n, blob, err
}

// keepChild marks a child of an index. A child without a revision, for example because only some platforms of the index
// were copied, needs only its blob, if that exists.
func (r *repository) keepChild(d digest.Digest) error {
	_, ok := r.revisions[d]
	if !ok {
		var err error
		if ok, err = r.exists(r.revisionPath(d)); err != nil {
			return err
		}
	}
	if ok {
		r.keep(d)
	}
	return r.keepLayer(d)
}

// keepLayer marks a layer link and its blob.
func (r *repository) keepLayer(d digest.Digest) error {
	k := keyOf(d)
	if _, ok := r.layers[k]; ok {
		return nil
	}
	r.layers[k] = struct{}{}
	blob, err := r.blobOf(r.layerPath(d), d)
	r.blobs.add(blob)
	if errors.Is(err, errBroken) {
		r.doubt("layer "+d.String(), err)
		return nil
	}
	return err
}

// readReferrers keeps the revisions whose subject is kept.
func (r *repository) readReferrers() error {
	r.referrers = map[digest.Digest][]digest.Digest{}
	for d := range r.revisions {
		if _, ok := r.kept[keyOf(d)]; ok {
			continue
		}
		n, _, err := r.needsOf(d)
		if errors.Is(err, errBroken) {
			r.doubt(d.String(), err)
			break
		}
		if err != nil {
			return err
		}
		if n.subject == "" {
			continue
		}
		r.referrers[n.subject] = append(r.referrers[n.subject], d)
		if _, ok := r.kept[keyOf(n.subject)]; ok {
			r.keep(d)
		}
	}
	return r.follow()
}

// readLayers keeps the young layer links, or all of them if the whole repository is kept.
func (r *repository) readLayers() error {
	keptAll := r.keepAll
	err := r.everywhere(layout.LayersOf(r.name), r.again != nil, func(at, cycle string) error {
		return r.digestsBelow(at, func(d digest.Digest) error { return r.readLayer(d, cycle) }, nil)
	})
	if err != nil {
		return err
	}
	// A young link that contains no digest puts the whole repository
	// in doubt, including the links that were read before it.
	if r.keepAll && !keptAll {
		if err := r.follow(); err != nil {
			return err
		}
		return r.readLayers()
	}
	return nil
}

// readLayer keeps a layer link, in its place or in the trash
// of a cycle, if it is young or the whole repository is kept.
func (r *repository) readLayer(d digest.Digest, cycle string) error {
	if _, ok := r.layers[keyOf(d)]; ok {
		return nil
	}
	file := r.layerPath(d)
	if cycle != "" {
		file = volume.HiddenPath(cycle, file)
	}
	young, err := r.youngAt(file)
	if err == nil && (young || r.keepAll) {
		err = r.keepLayer(d)
	}
	return err
}

package mark

import (
	"iter"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/internal/clusterregistry/layout"
)

// Plan is what may be deleted, or what of that is in use.
type Plan struct {
	mu           sync.Mutex
	repositories map[string]*unreached
	blobs        digests
	// deletions are the files that ask for the deletion of revisions.
	deletions []string
}

// unreached is what of a repository may be deleted.
type unreached struct {
	revisions, layers digests
	referrers         []referrer
}

// referrer is an entry of the list of manifests that refer to a subject.
type referrer struct{ subject, manifest digest.Digest }

func (p *Plan) add(repository string, u *unreached) {
	if u.revisions.len()+u.layers.len()+len(u.referrers) == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.repositories == nil {
		p.repositories = map[string]*unreached{}
	}
	p.repositories[repository] = u
}

func (p *Plan) addBlobs(more digests) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.blobs.short = append(p.blobs.short, more.short...)
	p.blobs.long = append(p.blobs.long, more.long...)
}

func (p *Plan) addDeletions(files []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deletions = append(p.deletions, files...)
}

// Deletions are the files that ask for the deletion of revisions, each of which the cycle that read them answers.
func (p *Plan) Deletions() []string { return p.deletions }

// of is what of a repository may be deleted. Nobody adds to the plan any more.
func (p *Plan) of(repository string) *unreached {
	if u := p.repositories[repository]; u != nil {
		return u
	}
	return &unreached{}
}

// Order is the order in which files are hidden and deleted: what refers before what it refers to. Files are given
// back in the opposite order.
var Order = []layout.Kind{layout.Referrer, layout.Revision, layout.Layer, layout.Blob}

// Paths are the paths of the files of one kind.
func (p *Plan) Paths(kind layout.Kind) iter.Seq[string] {
	if kind == layout.Blob {
		return p.blobPaths
	}
	return func(yield func(string) bool) {
		for name, u := range p.repositories {
			for file := range u.paths(name, kind) {
				if !yield(file) {
					return
				}
			}
		}
	}
}

func (p *Plan) blobPaths(yield func(string) bool) {
	for d := range p.blobs.all() {
		if !yield(layout.BlobPath(d)) {
			return
		}
	}
}

func (u *unreached) paths(name string, kind layout.Kind) iter.Seq[string] {
	return func(yield func(string) bool) {
		links, place := &u.layers, layout.LayerPath
		switch kind {
		case layout.Revision:
			links, place = &u.revisions, layout.RevisionPath
		case layout.Referrer:
			for _, e := range u.referrers {
				if !yield(layout.ReferrerPath(name, e.subject, e.manifest)) {
					return
				}
			}
			return
		}
		for d := range links.all() {
			if !yield(place(name, d)) {
				return
			}
		}
	}
}

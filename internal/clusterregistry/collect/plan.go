package collect

import (
	"iter"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/internal/clusterregistry/layout"
)

// plan is what may be deleted.
type plan struct {
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

func (p *plan) add(repository string, u *unreached) {
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

func (p *plan) addBlobs(more digests) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.blobs.short = append(p.blobs.short, more.short...)
	p.blobs.long = append(p.blobs.long, more.long...)
}

func (p *plan) addDeletions(files []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deletions = append(p.deletions, files...)
}

// of is what of a repository may be deleted. Nobody adds to the plan any more.
func (p *plan) of(repository string) *unreached {
	if u := p.repositories[repository]; u != nil {
		return u
	}
	return &unreached{}
}

// order is the order in which files are hidden and deleted: what refers before what it refers to. Files are given
// back in the opposite order.
var order = []layout.Kind{layout.Referrer, layout.Revision, layout.Layer, layout.Blob}

// paths are the paths of the files of one kind.
func (p *plan) paths(kind layout.Kind) iter.Seq[string] {
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

func (p *plan) blobPaths(yield func(string) bool) {
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

package mark

import (
	"iter"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/internal/clusterregistry/layout"
)

// Plan is a set of files: those that may be deleted, or those of them that are in use.
type Plan struct {
	mu           sync.Mutex
	repositories map[string]*unreached
	blobs        digests
	// deletions are the files that request the deletion of revisions.
	deletions []string
}

// unreached are the files of one repository in a plan.
type unreached struct {
	revisions, layers digests
	referrers         []referrer
}

// referrer is an entry in the list of manifests that refer to a subject.
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

// Deletions returns the files that request the deletion of revisions. The cycle that has read them deletes them.
func (p *Plan) Deletions() []string { return p.deletions }

// of returns the files of a repository in the plan. It must not be called while files are added.
func (p *Plan) of(repository string) *unreached {
	if u := p.repositories[repository]; u != nil {
		return u
	}
	return &unreached{}
}

// Order is the order in which files are hidden and deleted: each reference
// before what it refers to. Files are restored in the opposite order.
var Order = []layout.Kind{layout.Referrer, layout.Revision, layout.Layer, layout.Blob}

// Paths returns the paths of the files of one kind.
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

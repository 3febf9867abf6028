package oci

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nfo-operator/nfo/internal/platform"
	"github.com/nfo-operator/nfo/internal/registry/failure"
)

// maxPlatformsListed bounds the platforms that an error lists.
const maxPlatformsListed = 20

// finding is the state of reading all manifests of an artifact.
type finding struct {
	*Source
	root digest.Digest
	// checkParts says that the existence of the parts is checked as well.
	checkParts bool
	// known are the parts that were found, each with the most that a descriptor has said of it so
	// far, and sizes are those that are counted. children are the parts that an index references.
	// unchosen are the children of indexes that were not chosen.
	known              map[digest.Digest]kind
	sizes              map[digest.Digest]int64
	children, unchosen map[digest.Digest]bool
	queue              []ocispec.Descriptor
	held               int // bytes of manifests
	// indexes reports whether there is an index, and matched whether one has a
	// selected platform. platforms are the platforms of all indexes, at most maxPlatformsListed.
	indexes, matched bool
	platforms        []string
}

// kind is what a descriptor says of a part. A part is visited again if another descriptor says more of it:
// an index can name a manifest as a layer as well, and its parts are parts of the artifact.
type kind int

const (
	unknown   kind = iota
	elsewhere      // stored elsewhere, and not visited
	blob           // without parts
	manifest
)

func kindOf(d ocispec.Descriptor) kind {
	switch {
	case Elsewhere(d):
		return elsewhere
	case IsManifest(d.MediaType):
		return manifest
	}
	return blob
}

// find reads all manifests, beginning with root. With checkParts it also checks that every part exists.
func (s *Source) find(ctx context.Context, root ocispec.Descriptor, checkParts bool) error {
	if s.manifests == nil {
		s.manifests = map[digest.Digest]Manifest{}
	}
	f := &finding{Source: s, root: root.Digest, checkParts: checkParts, known: map[digest.Digest]kind{}, sizes: map[digest.Digest]int64{}, children: map[digest.Digest]bool{}, unchosen: map[digest.Digest]bool{}}
	s.absent = map[digest.Digest]bool{}
	f.add(root)
	for ; len(f.queue) > 0; f.queue = f.queue[1:] {
		d := f.queue[0]
		err := f.visit(ctx, d)
		switch {
		case s.Selection.Sparse && f.children[d.Digest] && errors.Is(err, failure.ErrNotFound) && s.manifests[d.Digest].Bytes == nil:
			s.absent[d.Digest] = true
		case err != nil:
			return fmt.Errorf("reading %.100q of %s: %w", d.Digest, s.Name, err)
		}
		f.held += len(s.manifests[d.Digest].Bytes)
		switch {
		case len(f.known) > maxParts:
			return fmt.Errorf("reading %s: %w: it has more than %d parts", s.Name, failure.ErrUnreadable, maxParts)
		case f.held > maxSourceBytes:
			return fmt.Errorf("reading %s: %w: its manifests have more than %d bytes", s.Name, failure.ErrUnreadable, maxSourceBytes)
		}
	}
	s.Root = s.manifests[root.Digest]
	return f.complete()
}

func (f *finding) add(all ...ocispec.Descriptor) {
	for _, d := range all {
		if k := kindOf(d); k > f.known[d.Digest] {
			f.known[d.Digest] = k
			f.queue = append(f.queue, d)
		}
	}
}

// visit reads one part, and adds the parts that it references.
func (f *finding) visit(ctx context.Context, d ocispec.Descriptor) error {
	switch {
	case d.Digest.Validate() != nil:
		return fmt.Errorf("%w: it is not a digest", failure.ErrUnreadable)
	case Elsewhere(d):
		return nil
	case d.Size < 0, f.Size+d.Size < f.Size:
		return fmt.Errorf("%w: its size is said to be %d", failure.ErrUnreadable, d.Size)
	}
	if f.checkParts {
		there, err := f.Storage.Exists(ctx, d)
		if err == nil && !there {
			err = fmt.Errorf("%w: it is named and is not there", failure.ErrNotFound)
		}
		if err != nil {
			return err
		}
	}
	if !IsManifest(d.MediaType) {
		f.count(d)
		return nil
	}
	m, err := f.manifest(ctx, d)
	if err != nil {
		return err
	}
	f.count(d)
	f.manifests[d.Digest] = m
	for _, c := range f.choose(m) {
		f.children[c.Digest] = true
		f.add(c)
	}
	f.add(m.Blobs...)
	if m.Subject != nil && !f.Alone {
		f.add(*m.Subject)
	}
	return nil
}

// count adds the size of a part, in place of the one that another descriptor gave.
func (f *finding) count(d ocispec.Descriptor) {
	f.Size += d.Size - f.sizes[d.Digest]
	f.sizes[d.Digest] = d.Size
}

// match records which platforms an index has.
func (f *finding) match(c platform.Choice) {
	f.indexes, f.matched = true, f.matched || c.Matched
	for _, name := range c.Platforms {
		if len(f.platforms) < maxPlatformsListed && !slices.Contains(f.platforms, name) {
			f.platforms = append(f.platforms, name)
		}
	}
}

// choose returns the children of a manifest that belong to the artifact, and records the others.
func (f *finding) choose(m Manifest) []ocispec.Descriptor {
	if len(m.Children) == 0 {
		return nil
	}
	c := f.Selection.Platforms.Choose(m.Bytes)
	if d := m.Descriptor.Digest; d == f.root || f.children[d] { // an index to which an image is attached does not count
		f.match(c)
	}
	of := f.Selection.Of
	has := func(d digest.Digest) bool { return c.Has(d) && (of == nil || !of.absent[d]) }
	var chosen []ocispec.Descriptor
	for _, d := range m.Children {
		if has(d.Digest) {
			chosen = append(chosen, d)
		} else {
			f.unchosen[d.Digest] = true
		}
	}
	return chosen
}

// complete checks the artifact after all parts have been visited.
func (f *finding) complete() error {
	for d := range f.unchosen {
		if f.known[d] == unknown { // otherwise another index has chosen it
			f.absent[d] = true
		}
	}
	if f.indexes && !f.matched && len(f.platforms) > 0 {
		return fmt.Errorf("reading %s: %w: it has %s, and %s is mirrored", f.Name, platform.ErrNone, strings.Join(f.platforms, ", "), strings.ReplaceAll(f.Selection.Platforms.String(), ",", ", "))
	}
	for d, m := range f.manifests {
		if len(m.Children) > 0 && !slices.ContainsFunc(m.Children, func(c ocispec.Descriptor) bool { return !f.absent[c.Digest] }) {
			return fmt.Errorf("reading %s: %w: nothing is there that the index %s refers to", f.Name, failure.ErrNotFound, d)
		}
	}
	return nil
}

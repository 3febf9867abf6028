package mirror

import (
	"context"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/rewrite"
)

// Job is an image to copy.
type Job struct {
	Image  rewrite.Image
	Mirror *v1alpha1.ArtifactStore
	// Answer is the source's, whose digest is copied.
	Answer Answer
	// Bare lets the copy end without the satellites that cannot be found or read for now.
	Bare bool
	// Moved is called with the bytes that are done, from several goroutines, and of how many in all, to which satellites are
	// not counted.
	Moved func(bytes, of int64)
}

// Copied is what was copied.
type Copied struct {
	// Size is the bytes of the image with all platforms that were copied.
	Size int64
	// Satellites are how many signatures and other satellites are with it.
	Satellites int
	// Unattached is why satellites are missing which the image is complete without; nil for none.
	Unattached error
}

// Copy copies what the mirror does not have of an image, at its digest, with its signatures and other satellites, and sets
// no tag. Of an index only the platforms of Options.Platforms are copied. What was copied before an error stays, and copying
// again goes on. It takes as long as it takes while bytes move, until ctx ends. Errors wrap ErrBusy, platform.ErrNone if the
// image has none of the platforms, or are of package registry.
func (m *Mirror) Copy(ctx context.Context, j Job) (Copied, error) {
	repository, d := j.Image.MirrorRepository(), j.Answer.Descriptor.Digest
	end, ok := m.begin(repository, d)
	if !ok {
		return Copied{}, ErrBusy
	}
	defer end()
	to, err := m.o.Open(ctx, j.Mirror)
	if err != nil {
		return Copied{}, err
	}
	s, err := j.Answer.from.SourceWith(ctx, j.Image.Repository, d.String(), registry.Selection{Platforms: m.o.Platforms})
	if err != nil {
		return Copied{}, err
	}
	size := s.Size
	moved := func(n int64) { j.Moved(n, size) }
	if err := to.CopyWith(ctx, repository, s, moved, m.copyOptions()); err != nil {
		return Copied{}, err
	}
	m.remember(repository, s)
	done := Copied{Size: size}
	done.Satellites, done.Unattached = m.attach(ctx, j, to, s, moved)
	if !j.Bare && errors.Is(done.Unattached, registry.ErrUnavailable) {
		return Copied{}, done.Unattached // what was copied is found the next time
	}
	if _, err := to.Resolve(ctx, repository, d.String()); err != nil { // the mirror answers for all of it
		return Copied{}, err
	}
	return done, nil
}

func (m *Mirror) copyOptions() registry.CopyOptions {
	return registry.CopyOptions{Blobs: m.o.Blobs, Stall: m.o.Stall, TargetChecks: true, Known: func(d digest.Digest) string {
		at, _ := m.blobs.Get(d)
		return at
	}}
}

// remember keeps where blobs are, from where they are mounted into other repositories of the mirror.
func (m *Mirror) remember(repository string, s *registry.Source) {
	for d := range s.BlobDigests() {
		m.blobs.Add(d, repository)
	}
}

// attach copies the signatures and other satellites of an image that the mirror does not have. They are attached in the
// order in which they are found, so that what is attached to a satellite comes after it.
func (m *Mirror) attach(ctx context.Context, j Job, to *registry.Client, of *registry.Source, moved func(int64)) (int, error) {
	repository := j.Image.MirrorRepository()
	found, err := j.Answer.from.Satellites(ctx, j.Image.Repository, of)
	if err != nil {
		return 0, err
	}
	for n, s := range found {
		there, over, err := to.Standing(ctx, repository, s)
		if err == nil && !there {
			if err = to.CopyWith(ctx, repository, s.Source, moved, m.copyOptions()); err == nil {
				err = to.Attach(ctx, repository, s, over)
			}
		}
		if err != nil {
			return n, fmt.Errorf("copying what is attached to %s: %w", of.Root.Descriptor.Digest, err)
		}
	}
	return len(found), nil
}

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
	// Answer is the answer of the source. Its digest is copied.
	Answer Answer
	// Bare lets the copy succeed without satellites that cannot be found or read at the moment.
	Bare bool
	// Moved is called with the number of bytes that were copied and with the
	// total, from several goroutines. Satellites do not count in the total.
	Moved func(bytes, of int64)
}

// Copied describes a finished copy.
type Copied struct {
	// Size is the size of the image in bytes, with all platforms that were copied.
	Size int64
	// Satellites is the number of signatures and other satellites that the image has in the mirror.
	Satellites int
	// Unattached says why satellites are missing, without which the image itself is complete; nil if none are.
	Unattached error
}

// Copy copies to the mirror what it lacks of an image, by digest, with signatures and other satellites. It sets no tag.
// Of an index it copies only the platforms in Options.Platforms. After an error, another Copy continues with what was
// copied before. A copy has no time limit while bytes move, until ctx ends. Errors wrap ErrBusy, platform.ErrNone if
// the image has none of the platforms, or those of package registry.
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
		return Copied{}, done.Unattached // the next Copy finds what was copied
	}
	if _, err := to.Resolve(ctx, repository, d.String()); err != nil { // this succeeds only if the mirror has the whole image
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

// remember records in which repository of the mirror blobs are, so that they can be mounted into other repositories.
func (m *Mirror) remember(repository string, s *registry.Source) {
	for d := range s.BlobDigests() {
		m.blobs.Add(d, repository)
	}
}

// attach copies the satellites of an image that the mirror lacks, and attaches them. It keeps the order in which they
// are found, so that a satellite of a satellite comes after it.
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

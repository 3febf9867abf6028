package mark

import (
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/internal/clusterregistry/layout"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
)

// readTags keeps what the repository's tags point to.
func (r *repository) readTags() error {
	names := map[string]bool{}
	return r.everywhere(layout.TagsOf(r.name), r.again != nil, func(at, _ string) error {
		entries, err := r.List(at)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if names[e.Name()] {
				continue
			}
			names[e.Name()] = true
			if err := r.readTag(e.Name()); err != nil {
				return err
			}
		}
		return nil
	})
}

// readTag keeps what a tag points to. A tag whose link contains no digest keeps everything that it ever pointed to.
func (r *repository) readTag(name string) error {
	d, err := r.target(layout.TagPath(r.name, name))
	if volume.Missing(err) {
		return nil
	}
	if err != nil && !errors.Is(err, errBroken) {
		return err
	}
	if r.again == nil {
		r.tally.add(Counts{Tags: 1}, Counts{})
	}
	if err == nil {
		r.keep(d)
		return nil
	}
	known := false
	history := r.digestsBelow(layout.TagHistoryOf(r.name, name), func(d digest.Digest) error {
		known = true
		if _, ok := r.revisions[d]; ok {
			r.keep(d)
		}
		return nil
	}, nil)
	if history != nil {
		return history
	}
	if !known {
		r.doubt("tag "+name, err)
		return nil
	}
	r.tally.problem(fmt.Sprintf("%s tag %s: what it pointed at before is kept, push the tag again: %v", r.name, name, err))
	return nil
}

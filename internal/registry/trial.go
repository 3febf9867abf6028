package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

const (
	// maxTrialTags bounds the tags of a repository in which a trial
	// is made, because a trial reads every tag of the repository.
	maxTrialTags = 10_000
	trialWorkers = 8
	// repairTimeout bounds the restoring of a manifest. The deadline
	// of the call that made it necessary does not apply to it.
	repairTimeout = 30 * time.Second
)

// Trial is the first release of a store: it removes one tag that must be
// removed anyway, and finds out whether the registry removes a tag alone (I6).
//
// It has two steps because the first may take long, in a repository with
// many tags, and the evidence for the second may be at most 5 s old (I3).
//
// A registry that deletes more than the tag has lost the manifest from the DELETE until the PUT of the same bytes.
// An error, a timeout, or the end of ctx in between do no harm. If the process ends in between, the layers and
// children still exist, and Manifest and Tags have all that Client.Restore needs. A caller that stores Manifest
// and Tags before Untag, as it stores the tombstone (I4), can therefore restore the manifest in every case.
type Trial struct {
	// Repository and Tag are those of the tag to remove.
	Repository, Tag string
	// Tags are the tags at the same digest, Tag included, sorted.
	Tags []string
	// Manifest is the manifest at the digest. Its bytes are kept until the behavior of the registry is known.
	Manifest Manifest

	client *Client
}

// PrepareTrial reads everything that Untag may have to restore. It writes nothing.
// Errors wrap ErrNotFound if the tag or the digest does not exist, ErrTagTaken if the
// tag is not at d, and ErrUnreadable if the repository has more than 10,000 tags.
func (c *Client) PrepareTrial(ctx context.Context, repository, tag string, d digest.Digest) (*Trial, error) {
	t := &Trial{Repository: repository, Tag: tag, client: c}
	if err := t.prepare(ctx, d); err != nil {
		return nil, fmt.Errorf("preparing to untag %s: %w", c.wire.Name(repository, tag), err)
	}
	return t, nil
}

func (t *Trial) prepare(ctx context.Context, d digest.Digest) error {
	if err := t.requireAt(ctx, d); err != nil {
		return err
	}
	var err error
	if t.Manifest, err = t.client.Manifest(ctx, t.Repository, d); err != nil {
		return err
	}
	all, err := t.client.Tags(ctx, t.Repository)
	if err != nil {
		return err
	}
	if len(all) > maxTrialTags {
		return fmt.Errorf("%w: with %d tags in the repository it takes too long to find those at the same digest", ErrUnreadable, len(all))
	}
	t.Tags, err = t.tagsAt(ctx, append(all, t.Tag), d)
	return err
}

// requireAt returns nil if the tag is at d.
func (t *Trial) requireAt(ctx context.Context, d digest.Digest) error {
	there, err := t.client.tagAt(ctx, t.Repository, t.Tag, d)
	if err == nil && !there {
		err = fmt.Errorf("%w: the tag %s", ErrNotFound, t.Tag)
	}
	return err
}

// tagsAt returns the tags that are at d, sorted, without duplicates. It fails
// if one tag cannot be resolved. A tag that is listed but does not exist counts
// as unresolvable until the registry has reported its absence for SecondLook.
func (t *Trial) tagsAt(ctx context.Context, tags []string, d digest.Digest) ([]string, error) {
	var mu sync.Mutex
	var found []string
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(trialWorkers)
	for _, tag := range tags {
		group.Go(func() error {
			now, err := t.client.Resolve(ctx, t.Repository, tag)
			switch {
			case errors.Is(err, ErrNotFound) && SettlesIn(err) > 0:
				return fmt.Errorf("%w: the tag %s is listed and does not resolve: %s", ErrUnreadable, tag, err.Error()) // not as ErrNotFound
			case err != nil:
				return missing(err)
			case now.Digest == d:
				mu.Lock()
				defer mu.Unlock()
				found = append(found, tag)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	slices.Sort(found)
	return slices.Compact(found), nil
}

// Untag removes the tag, and checks what else the registry deleted.
//
//   - Supported, nil: the tag is gone and nothing else.
//   - Unsupported, nil: the registry refused, or reported success without removing the
//     tag, or deleted more than the tag for the second time, at least SecondLook after
//     the first time, and all of it is restored. In each case the tag still exists.
//   - Unsupported, error: the registry deleted more, and not all of it could be restored.
//   - Unknown, nil: the tag did not exist, and nothing was learnt.
//   - Unknown, error: nothing was learnt, or the registry deleted more for the first time and all of it
//     is restored; RetryAfter then returns when the second trial may be made. ErrTagTaken: the tag has
//     moved since PrepareTrial. After any other error it is also unknown whether the tag still exists.
//
// Objects that a registry deletes together with a digest, such as the images whose subject it is, are not restored.
func (t *Trial) Untag(ctx context.Context) (v1alpha1.Support, error) {
	support, err := t.untag(ctx)
	if err != nil {
		err = fmt.Errorf("learning to untag from %s: %w", t.client.wire.Name(t.Repository, t.Tag), err)
	}
	return support, err
}

func (t *Trial) untag(ctx context.Context) (v1alpha1.Support, error) {
	if err := t.client.tooSoon(); err != nil {
		return v1alpha1.SupportUnknown, err
	}
	err := t.requireAt(ctx, t.Manifest.Descriptor.Digest)
	if err != nil {
		return v1alpha1.SupportUnknown, missing(err)
	}
	err = t.client.Untag(ctx, t.Repository, t.Tag)
	switch {
	case errors.Is(err, ErrUnsupported):
		return v1alpha1.Unsupported, nil
	case errors.Is(err, ErrDenied), errors.Is(err, ErrConfig):
		return v1alpha1.SupportUnknown, err
	}
	// From here on the registry may have done anything, whatever it answered, and ctx may be about to end. Restoring
	// the same bytes under references that do not exist is safe even if another process is the leader meanwhile.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), repairTimeout)
	defer cancel()
	return t.inspect(ctx, err)
}

// inspect finds out what the DELETE deleted, and restores it. untagErr is the error of the DELETE.
func (t *Trial) inspect(ctx context.Context, untagErr error) (v1alpha1.Support, error) {
	more, err := t.tookMore(ctx)
	switch {
	case err != nil: // it cannot be checked, so everything may be gone
		return v1alpha1.SupportUnknown, errors.Join(untagErr, err, t.client.Restore(ctx, t.Repository, t.Manifest, t.Tags))
	case more:
		return t.restoreAll(ctx)
	}
	there, err := t.client.tagAt(ctx, t.Repository, t.Tag, t.Manifest.Descriptor.Digest)
	switch {
	case errors.Is(err, ErrTagTaken): // removed, and pushed again by another client
		return v1alpha1.Supported, nil
	case err != nil, there && untagErr != nil:
		return v1alpha1.SupportUnknown, errors.Join(untagErr, err)
	case there: // the registry reported success but kept the tag
		return v1alpha1.Unsupported, nil
	}
	return v1alpha1.Supported, nil
}

// restoreAll restores everything. Only the second trial proves that the registry deletes more than a tag,
// because one wrong answer after the first DELETE would turn untagging off for all later releases.
func (t *Trial) restoreAll(ctx context.Context) (v1alpha1.Support, error) {
	if err := t.client.Restore(ctx, t.Repository, t.Manifest, t.Tags); err != nil {
		return v1alpha1.Unsupported, err
	}
	now := time.Now()
	if t.client.tookMore.CompareAndSwap(nil, &now) {
		return v1alpha1.SupportUnknown, t.client.tooSoon()
	}
	return v1alpha1.Unsupported, nil
}

// tooSoon returns an error while it is too early for the second trial after a trial that deleted more than a tag.
func (c *Client) tooSoon() error {
	first := c.tookMore.Load()
	if first == nil || time.Since(*first) >= c.wire.SecondLook() {
		return nil
	}
	f := c.wire.Fail(ErrUnavailable, fmt.Errorf(
		"the registry seems to delete the digest, or other tags on it, together with a tag; all of it was put back, and nfo tries once more %s after the first time", c.wire.SecondLook()))
	f.After = c.wire.SecondLook() - time.Since(*first)
	return f
}

// tookMore reports whether the DELETE deleted the digest, or another
// tag on it. A tag that has moved to another digest is not lost.
func (t *Trial) tookMore(ctx context.Context) (bool, error) {
	d := t.Manifest.Descriptor.Digest
	_, err := t.client.Resolve(ctx, t.Repository, d.String())
	if err != nil {
		return errors.Is(err, ErrNotFound), missing(err)
	}
	for _, tag := range t.Tags {
		if tag == t.Tag {
			continue
		}
		there, err := t.client.tagAt(ctx, t.Repository, tag, d)
		switch {
		case errors.Is(err, ErrTagTaken):
		case err != nil, !there:
			return err == nil, err
		}
	}
	return false, nil
}

// LearnUntag is PrepareTrial and Untag in one, for callers whose evidence cannot
// become outdated. For a tag that does not exist it returns Unknown and no error.
func (c *Client) LearnUntag(ctx context.Context, repository, tag string, d digest.Digest) (v1alpha1.Support, error) {
	t, err := c.PrepareTrial(ctx, repository, tag, d)
	if err != nil {
		return v1alpha1.SupportUnknown, missing(err)
	}
	return t.Untag(ctx)
}

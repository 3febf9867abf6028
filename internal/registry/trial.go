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
	// A store's first release reads every tag of one repository; past this many it declines.
	maxTrialTags = 10_000
	trialWorkers = 8
	// Putting back is not cut short by the deadline of the act that made it necessary.
	repairTimeout = 30 * time.Second
)

// Trial is the first release of a store: one untag, of a tag that has to go anyway, by which
// is learnt whether the registry removes a tag alone (I6).
//
// It has two steps because the first may take long, in a repository with many tags, and the
// evidence that allows the second may be no older than 5 s (I3).
//
// The window: a registry of the other kind has lost the manifest from the moment that it does
// the DELETE until the PUT of the same bytes. An error, a timeout, the end of ctx in between
// do not matter; the end of the process does, and then layers and children are still there,
// and Manifest and Tags say all that Client.Restore needs. A caller that stores the two
// before Untag, as it stores the tombstone (I4), has no window at all.
type Trial struct {
	// Repository and Tag are what is to be untagged.
	Repository, Tag string
	// Tags at the same digest, Tag among them, sorted.
	Tags []string
	// Manifest is at the digest. Its bytes are kept until the registry is known.
	Manifest Manifest

	client *Client
}

// PrepareTrial reads what Untag may have to put back. It writes nothing. Errors wrap
// ErrNotFound when tag or digest is absent, ErrTagTaken when the tag is not at d, and
// ErrUnreadable when the repository has more than 10,000 tags.
func (c *Client) PrepareTrial(ctx context.Context, repository, tag string, d digest.Digest) (*Trial, error) {
	t := &Trial{Repository: repository, Tag: tag, client: c}
	if err := t.prepare(ctx, d); err != nil {
		return nil, fmt.Errorf("preparing to untag %s: %w", c.wire.Name(repository, tag), err)
	}
	return t, nil
}

func (t *Trial) prepare(ctx context.Context, d digest.Digest) error {
	if err := t.still(ctx, d); err != nil {
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
	t.Tags, err = t.thoseAt(ctx, append(all, t.Tag), d)
	return err
}

// still is nil while the tag is at d.
func (t *Trial) still(ctx context.Context, d digest.Digest) error {
	there, err := t.client.tagAt(ctx, t.Repository, t.Tag, d)
	if err == nil && !there {
		err = fmt.Errorf("%w: the tag %s", ErrNotFound, t.Tag)
	}
	return err
}

// thoseAt returns those of the tags that are at d, sorted, each once. One that cannot be resolved fails
// them all, and so does one that is listed and not there, until that has been so for SecondLook.
func (t *Trial) thoseAt(ctx context.Context, tags []string, d digest.Digest) ([]string, error) {
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

// Untag removes the tag and looks at what became of its digest and of the other tags on it.
//
//   - Supported, nil: the tag is gone and nothing else.
//   - Unsupported, nil: the registry refused, or it took more than the tag for the second time, at
//     least SecondLook after the first, and all of it is back. Either way the tag is still there.
//   - Unsupported, error: it took more, and not all of it could be put back.
//   - Unknown, nil: the tag was gone already; nothing was learnt.
//   - Unknown, error: nothing was learnt, or it took more for the first time and all of it is back;
//     RetryAfter then says when the second time may be. ErrTagTaken: the tag has moved since
//     PrepareTrial. Otherwise it is not known either whether the tag is still there.
//
// What a registry itself removes together with a digest, such as the images whose subject it
// is, is not put back.
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
	err := t.still(ctx, t.Manifest.Descriptor.Digest)
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
	// From here the registry may have done anything, whatever it answered, and ctx may be at
	// its end. Putting the same bytes back under names that are absent is safe for anyone who
	// leads by then.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), repairTimeout)
	defer cancel()
	return t.look(ctx, err)
}

// look finds what the DELETE took and puts it back. untagErr is what the DELETE answered.
func (t *Trial) look(ctx context.Context, untagErr error) (v1alpha1.Support, error) {
	more, err := t.tookMore(ctx)
	switch {
	case err != nil: // what cannot be seen may be gone
		return v1alpha1.SupportUnknown, errors.Join(untagErr, err, t.client.Restore(ctx, t.Repository, t.Manifest, t.Tags))
	case more:
		return t.took(ctx)
	}
	there, err := t.client.tagAt(ctx, t.Repository, t.Tag, t.Manifest.Descriptor.Digest)
	switch {
	case errors.Is(err, ErrTagTaken): // gone, and pushed anew by somebody
		return v1alpha1.Supported, nil
	case err != nil, there && untagErr != nil:
		return v1alpha1.SupportUnknown, errors.Join(untagErr, err)
	case there: // it says that it did and did not
		return v1alpha1.Unsupported, nil
	}
	return v1alpha1.Supported, nil
}

// took puts all of it back. That the registry removes more than a tag is believed at the second time:
// a wrong answer after the first DELETE would leave every later release without an untag.
func (t *Trial) took(ctx context.Context) (v1alpha1.Support, error) {
	if err := t.client.Restore(ctx, t.Repository, t.Manifest, t.Tags); err != nil {
		return v1alpha1.Unsupported, err
	}
	now := time.Now()
	if t.client.tookMore.CompareAndSwap(nil, &now) {
		return v1alpha1.SupportUnknown, t.client.tooSoon()
	}
	return v1alpha1.Unsupported, nil
}

// tooSoon is not nil while it is too early for the second trial after one that took more than a tag.
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

// tookMore says whether the digest went with the tag, or another tag on it. One that its
// owner has moved on is not lost.
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

// LearnUntag is PrepareTrial and Untag in one, for callers whose evidence cannot age. A tag
// that is absent is Unknown and no error.
func (c *Client) LearnUntag(ctx context.Context, repository, tag string, d digest.Digest) (v1alpha1.Support, error) {
	t, err := c.PrepareTrial(ctx, repository, tag, d)
	if err != nil {
		return v1alpha1.SupportUnknown, missing(err)
	}
	return t.Untag(ctx)
}

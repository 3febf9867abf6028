package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	oras "oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote/errcode"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry/decode"
	"github.com/nfo-operator/nfo/internal/registry/wire"
)

// actionMetadataRead is the action that a token must allow for Azure Container Registry to return a list.
const actionMetadataRead = "metadata_read"

var (
	errNoList = errors.New("the registry has no list of image manifests")
	// errNotTheList is wrapped by ErrUnavailable for an answer that a registry with a list does not give.
	errNotTheList = errors.New("the registry can list image manifests, and this answer is not its own; a proxy or a registry that is starting may have answered")
)

// Listed is one image manifest in the registry's own list.
type Listed struct {
	Digest    digest.Digest
	MediaType string
	// Size is the size of the image with its layers, in bytes, as the registry reports it.
	Size int64
	// Tags at the digest, sorted; none when it has no tag.
	Tags []string
	// Locked reports whether the registry refuses to delete the digest until a person unlocks it.
	Locked bool
}

// List returns the image manifests of a repository, those without a tag included, sorted by
// digest, without duplicates. The OCI API has no such list; Azure Container Registry has one.
//
// The list is complete, or there is an error. Errors wrap ErrUnsupported if the registry answers as one that
// has no such list; ErrNotFound if it does not know the repository; ErrDenied if the login may not read metadata;
// ErrUnreadable as with Tags. ErrUnsupported proves nothing until the registry has answered so for SecondLook
// (I2): within that time the client does not ask again, after it the client asks once more and remembers the
// answer. A registry of Azure, and one whose list was read before, has the list: ErrUnavailable is then the
// error. The registry leaves out images that their owner has hidden (listEnabled: false), so a digest that is
// not in the list may still exist and reference others.
// Spec: Azure Container Registry REST API, "Manifests - Get List".
func (c *Client) List(ctx context.Context, repository string) ([]Listed, error) {
	listed, err := c.list(ctx, repository)
	if err != nil {
		return nil, fmt.Errorf("listing the image manifests of %s/%s: %w", c.wire.Location.Host, repository, err)
	}
	return listed, nil
}

func (c *Client) list(ctx context.Context, repository string) ([]Listed, error) {
	ref, err := c.wire.Repository(repository)
	if err != nil {
		return nil, err
	}
	if c.lists.absent(c.wire.SecondLook()) {
		return nil, c.wire.Fail(ErrUnsupported, errNoList)
	}
	var all []Listed
	seen := map[digest.Digest]int{}
	err = c.follow(ctx, func(ctx context.Context, query string) (page, error) {
		listed, next, err := c.listPage(ctx, ref, query)
		p := page{entries: len(listed), next: next}
		for _, l := range listed {
			p.entries += len(l.Tags)
			for _, tag := range l.Tags {
				p.bytes += len(tag)
			}
			i, again := seen[l.Digest]
			if again { // changed between two pages: keep what protects it
				all[i].Tags = append(all[i].Tags, l.Tags...)
				all[i].Locked = all[i].Locked || l.Locked
				continue
			}
			seen[l.Digest] = len(all)
			p.fresh++
			p.bytes += len(l.Digest)
			all = append(all, l)
		}
		return p, err
	})
	if err != nil {
		return nil, err
	}
	for i := range all {
		all[i].Tags = slices.Compact(slices.Sorted(slices.Values(all[i].Tags)))
	}
	slices.SortFunc(all, func(a, b Listed) int { return strings.Compare(a.Digest.String(), b.Digest.String()) })
	return all, nil
}

// listPage reads one page, and returns its entries and the query of the next page, "" after the last.
func (c *Client) listPage(ctx context.Context, ref oras.Reference, query string) (page []Listed, next string, err error) {
	path := "/acr/v1/" + ref.Repository + "/_manifests?" + query
	r := wire.Request{Method: http.MethodGet, Path: path, Repository: ref, Actions: []string{actionMetadataRead}, About: wire.TagList}
	resp, err := c.wire.Do(ctx, r)
	if err != nil {
		return nil, "", err
	}
	defer wire.Discard(resp)
	if err := c.checkListed(resp, r); err != nil {
		return nil, "", err
	}
	err = c.wire.Consume(resp, maxPageBytes, func(data []byte) (err error) {
		page, err = parseListed(ref.Repository, data)
		return err
	})
	if err != nil {
		return nil, "", err
	}
	c.lists.read()
	next, err = wire.NextPage(resp)
	return page, next, err
}

// checkListed returns nil for an answer that may be a list. Otherwise it distinguishes a
// registry that does not know the path, and answers as its web server does for any unknown
// path, from a registry that knows the path and has no such repository or denies access to it.
func (c *Client) checkListed(resp *http.Response, r wire.Request) error {
	portal := wire.IsHTML(resp.Header)
	if wire.Succeeded(resp) && !portal {
		return nil
	}
	err := c.wire.Answered(resp, r)
	var answer *errcode.ErrorResponse
	if !errors.As(err, &answer) {
		return err
	}
	unknown := false
	switch resp.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		unknown = !strings.Contains(answer.Errors.Error(), actionMetadataRead)
	case http.StatusNotFound:
		unknown = !errors.Is(err, ErrNotFound)
	case http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusNotAcceptable, http.StatusGone, http.StatusNotImplemented:
		unknown = true
	default:
		unknown = wire.Succeeded(resp)
	}
	switch {
	case unknown && (isAzure(c.wire.Location.Host) || c.lists.denied(c.wire.SecondLook())):
		return c.wire.Fail(ErrUnavailable, fmt.Errorf("%w: %w", errNotTheList, answer))
	case unknown:
		return c.wire.Fail(ErrUnsupported, fmt.Errorf("%w: %w", errNoList, answer))
	}
	return err
}

// isAzure reports whether a host is one that Azure Container Registry gives its registries, in any of its clouds.
func isAzure(host string) bool {
	name, _, _ := strings.Cut(strings.ToLower(host), ":")
	name = strings.TrimSuffix(name, ".")
	return slices.ContainsFunc([]string{".azurecr.io", ".azurecr.cn", ".azurecr.us", ".azurecr.de"}, func(suffix string) bool { return strings.HasSuffix(name, suffix) })
}

// listSupport is what a registry's answers show of whether it has a list of image manifests. It is safe for concurrent use.
type listSupport struct {
	mu sync.Mutex
	// has is set once a list was read.
	has bool
	// since is when the registry first answered as one without a list, zero if it never did. settled
	// is set once it has answered so again, at least the time of a second look later.
	since   time.Time
	settled bool
}

// read records that a list was read.
func (l *listSupport) read() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.has = true
}

// denied records an answer of a registry without a list, and reports whether a list was read before.
func (l *listSupport) denied(secondLook time.Duration) (has bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.since.IsZero() {
		l.since = time.Now()
	} else {
		l.settled = l.settled || time.Since(l.since) >= secondLook
	}
	return l.has
}

// absent reports whether the registry counts as one without a list and is not to be asked now.
func (l *listSupport) absent(secondLook time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.has && !l.since.IsZero() && (l.settled || time.Since(l.since) < secondLook)
}

// listedManifest is an entry of the list. Its other fields are not used.
type listedManifest struct {
	Digest     decode.Once[digest.Digest] `json:"digest"`
	MediaType  decode.Once[string]        `json:"mediaType"`
	ImageSize  decode.Once[int64]         `json:"imageSize"`
	Tags       tagNames                   `json:"tags"` // absent, null and empty all mean none
	Attributes decode.Once[attributes]    `json:"changeableAttributes"`
}

// attributes say whether the registry refuses to delete the digest: if one of the two is false.
type attributes struct {
	DeleteEnabled decode.Once[bool] `json:"deleteEnabled"`
	WriteEnabled  decode.Once[bool] `json:"writeEnabled"`
}

// listedManifests is a list of image manifests.
type listedManifests struct {
	decode.Field
	list    []Listed
	entries int // image manifests and tags
}

// UnmarshalJSON reads at most decode.MaxEntries image manifests and tags.
func (m *listedManifests) UnmarshalJSON(data []byte) error {
	if err := m.Begin(data); err != nil || m.Null {
		return err
	}
	isFalse := func(b decode.Once[bool]) bool { return b.Given() && !b.Value }
	return decode.EachOf(data, func(e listedManifest) error {
		if e.Digest.Value.Validate() != nil || e.ImageSize.Value < 0 {
			return fmt.Errorf("%w: it lists the digest %.100q with a size of %d", ErrUnreadable, e.Digest.Value, e.ImageSize.Value)
		}
		if m.entries += 1 + len(e.Tags.list); m.entries > decode.MaxEntries {
			return decode.TooLong(m.entries)
		}
		m.list = append(m.list, Listed{
			Digest: e.Digest.Value, MediaType: v1alpha1.Clip(e.MediaType.Value, maxMediaType), Size: e.ImageSize.Value, Tags: e.Tags.list,
			Locked: isFalse(e.Attributes.Value.DeleteEnabled) || isFalse(e.Attributes.Value.WriteEnabled),
		})
		return nil
	})
}

// parseListed reads one page. One invalid entry makes the whole page unreadable
// (I2), because that entry could be the one that references the others.
func parseListed(repository string, data []byte) ([]Listed, error) {
	var page struct {
		ImageName decode.Once[string] `json:"imageName"`
		Manifests listedManifests     `json:"manifests"`
	}
	if err := json.Unmarshal(data, &page); err != nil {
		return nil, decode.NotJSON(err)
	}
	// A document without the field is not a list of manifests. A field that is null is an empty list.
	if !page.Manifests.Seen {
		return nil, fmt.Errorf("%w: it is not a list of image manifests", ErrUnreadable)
	}
	if name := page.ImageName.Value; name != "" && name != repository {
		return nil, fmt.Errorf("%w: it is the list of %.255q", ErrUnreadable, name)
	}
	return page.Manifests.list, nil
}

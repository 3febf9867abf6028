package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"

	oras "oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote/auth"

	"github.com/nfo-operator/nfo/internal/registry/decode"
	"github.com/nfo-operator/nfo/internal/registry/wire"
)

const (
	pageSize     = 1000
	maxPageBytes = 8 << 20 // a bound is needed because registries may ignore the page size
	// manyEntries is the number of entries above which a list counts as long; see Budget.
	manyEntries = 10_000
)

// Tags returns all tags of a repository, sorted, without duplicates. The list is complete, or
// there is an error. Errors wrap ErrNotFound if the registry does not know the repository (the
// caller knows whether the repository should exist); ErrUnreadable if a page is not this
// repository's list of tags, if the pages form a circle, or if there are more than 10,000 pages,
// 200,000 tags or 8 MiB of tags; ErrUnavailable if a long list is incomplete after 5 minutes.
// Spec: OCI distribution-spec, "Listing Tags".
func (c *Client) Tags(ctx context.Context, repository string) ([]string, error) {
	tags, err := c.tags(ctx, repository)
	if err != nil {
		return nil, fmt.Errorf("listing the tags of %s/%s: %w", c.wire.Location.Host, repository, err)
	}
	return tags, nil
}

func (c *Client) tags(ctx context.Context, repository string) ([]string, error) {
	ref, err := c.wire.Repository(repository)
	if err != nil {
		return nil, err
	}
	seen := map[string]struct{}{}
	err = c.follow(ctx, func(ctx context.Context, query string) (page, error) {
		tags, next, err := c.tagPage(ctx, ref, query)
		p := page{entries: len(tags), next: next}
		for _, tag := range tags {
			if _, again := seen[tag]; !again {
				seen[tag] = struct{}{}
				p.fresh++
				p.bytes += len(tag)
			}
		}
		return p, err
	})
	if err != nil {
		return nil, err
	}
	tags := slices.AppendSeq(slices.Grow([]string(nil), len(seen)), maps.Keys(seen))
	slices.Sort(tags)
	return tags, nil
}

// Repositories returns the names of all repositories below the client's prefix, sorted, without duplicates. The list
// is complete, or there is an error as with Tags. Errors wrap ErrDenied if the login may not list the registry.
// Spec: CNCF distribution, "Catalog".
func (c *Client) Repositories(ctx context.Context) ([]string, error) {
	seen := map[string]struct{}{}
	err := c.follow(ctx, func(ctx context.Context, query string) (page, error) {
		names, next, err := c.catalogPage(ctx, query)
		p := page{entries: len(names), next: next}
		for _, name := range names {
			if _, again := seen[name]; again {
				continue
			}
			p.fresh++
			p.bytes += len(name)
			seen[name] = struct{}{}
		}
		return p, err
	})
	if err != nil {
		return nil, fmt.Errorf("listing the repositories of %s: %w", c.wire.Location.Host, err)
	}
	all := slices.Sorted(maps.Keys(seen))
	return slices.DeleteFunc(all, func(name string) bool { _, err := c.wire.Repository(name); return err != nil }), nil
}

// catalogPage reads one page, and returns its names and the query of the next page, "" after the last.
func (c *Client) catalogPage(ctx context.Context, query string) (names []string, next string, err error) {
	resp, err := c.wire.Send(ctx, wire.Request{Method: http.MethodGet, Path: "/v2/_catalog?" + query})
	if err != nil {
		return nil, "", err
	}
	defer wire.Discard(resp)
	err = c.wire.Consume(resp, maxPageBytes, func(data []byte) error {
		var page struct {
			Repositories *[]string `json:"repositories"`
		}
		if err := json.Unmarshal(data, &page); err != nil {
			return decode.NotJSON(err)
		}
		if page.Repositories == nil { // null could be an empty registry, or any other document
			return fmt.Errorf("%w: it is not a list of repositories", ErrUnreadable)
		}
		names = *page.Repositories
		return nil
	})
	if err != nil {
		return nil, "", err
	}
	next, err = wire.NextPage(resp)
	return names, next, err
}

// page describes one page of a list: the number of its entries, how many of them are new
// and how many bytes the new ones have, and the query of the next page, "" after the last.
type page struct {
	entries, fresh, bytes int
	next                  string
}

// follow reads the pages of a list one after the other. It counts a
// long list against the budget and bounds it by wire.ListTimeout.
func (c *Client) follow(ctx context.Context, read func(ctx context.Context, query string) (page, error)) error {
	query := "n=" + strconv.Itoa(pageSize)
	entries, bytes, long := 0, 0, false
	for range decode.MaxPages {
		p, err := read(ctx, query)
		entries, bytes = entries+p.entries, bytes+p.bytes
		switch {
		case err != nil:
			return err
		case entries > decode.MaxEntries || bytes > decode.MaxListBytes:
			return decode.TooLong(entries)
		case p.next == "":
			return nil
		case p.next == query || (p.entries > 0 && p.fresh == 0):
			return fmt.Errorf("%w: its pages do not move on", ErrUnreadable)
		}
		query = p.next
		if long || entries <= manyEntries {
			continue
		}
		long = true
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, wire.ListTimeout)
		defer cancel()
		release, err := c.wire.ReserveList(ctx)
		if err != nil {
			return err
		}
		defer release()
	}
	return fmt.Errorf("%w: it has more than %d pages", ErrUnreadable, decode.MaxPages)
}

// tagNames is a list of tags.
type tagNames struct {
	decode.Field
	list []string
}

// UnmarshalJSON reads at most decode.MaxEntries valid tags.
func (n *tagNames) UnmarshalJSON(data []byte) error {
	if err := n.Begin(data); err != nil || n.Null {
		return err
	}
	return decode.EachOf(data, func(tag string) error {
		if err := (oras.Reference{Reference: tag}).ValidateReferenceAsTag(); err != nil {
			return fmt.Errorf("%w: it lists the tag %.140q", ErrUnreadable, tag)
		}
		if n.list = append(n.list, tag); len(n.list) > decode.MaxEntries {
			return decode.TooLong(len(n.list))
		}
		return nil
	})
}

// tagPage reads one page, and returns its tags and the query of the next page, "" after the last.
func (c *Client) tagPage(ctx context.Context, ref oras.Reference, query string) (tags []string, next string, err error) {
	path := "/v2/" + ref.Repository + "/tags/list?" + query
	resp, err := c.wire.Send(ctx, wire.Request{Method: http.MethodGet, Path: path, Repository: ref, Actions: []string{auth.ActionPull}, About: wire.TagList})
	if err != nil {
		return nil, "", err
	}
	defer wire.Discard(resp)
	err = c.wire.Consume(resp, maxPageBytes, func(data []byte) (err error) {
		tags, err = parseTags(ref.Repository, data)
		return err
	})
	if err != nil {
		return nil, "", err
	}
	next, err = wire.NextPage(resp)
	return tags, next, err
}

// parseTags reads one page of a repository's tags.
func parseTags(repository string, data []byte) ([]string, error) {
	var page struct {
		Name string   `json:"name"`
		Tags tagNames `json:"tags"`
	}
	if err := json.Unmarshal(data, &page); err != nil {
		return nil, decode.NotJSON(err)
	}
	// A document without the field is not a list of tags (I2). A field that is null is an empty list.
	if !page.Tags.Seen {
		return nil, fmt.Errorf("%w: it is not a list of tags", ErrUnreadable)
	}
	// An empty list must contain the name of its repository. Without
	// the name, the answer may not be from the registry (I2).
	if page.Name != repository && (page.Name != "" || len(page.Tags.list) == 0) {
		return nil, fmt.Errorf("%w: it is the list of %.255q", ErrUnreadable, page.Name)
	}
	return page.Tags.list, nil
}

package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	oras "oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote/auth"
)

// Bounds of a list. Past one of them it is unreadable, not cut.
const (
	pageSize     = 1000
	maxPages     = 10_000
	maxEntries   = 1_000_000
	maxPageBytes = 16 << 20 // registries may ignore the page size
)

// Tags returns all tags of a repository, sorted, each once. It is whole or an error: wrapping
// ErrNotFound when the registry does not know the repository (the caller knows whether one
// was to be expected), ErrUnreadable when a page is not this repository's list of tags, the pages go
// round in circles, or there are more than 10,000 pages or 1,000,000 tags.
// Spec: OCI distribution-spec, "Listing Tags".
func (c *Client) Tags(ctx context.Context, repository string) ([]string, error) {
	tags, err := c.tags(ctx, repository)
	if err != nil {
		return nil, fmt.Errorf("listing the tags of %s/%s: %w", c.location.Host, repository, err)
	}
	return tags, nil
}

func (c *Client) tags(ctx context.Context, repository string) ([]string, error) {
	ref, err := c.repository(repository)
	if err != nil {
		return nil, err
	}
	var tags []string
	seen := map[string]bool{}
	err = follow("n="+strconv.Itoa(pageSize), func(query string) (had, fresh int, next string, err error) {
		page, next, err := c.tagPage(ctx, ref, query)
		for _, tag := range page {
			if !seen[tag] {
				seen[tag] = true
				fresh++
				tags = append(tags, tag)
			}
		}
		return len(page), fresh, next, err
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(tags)
	return tags, nil
}

// follow reads one page after the other, from the one with this query on. page returns how
// many entries the page had, how many of them were new, and the query of the next page, ""
// after the last.
func follow(query string, page func(query string) (had, fresh int, next string, err error)) error {
	entries := 0
	for range maxPages {
		had, fresh, next, err := page(query)
		entries += fresh
		switch {
		case err != nil:
			return err
		case next == "":
			return nil
		case entries > maxEntries:
			return fmt.Errorf("%w: it has more than %d entries", ErrUnreadable, maxEntries)
		case next == query || (had > 0 && fresh == 0):
			return fmt.Errorf("%w: its pages do not move on", ErrUnreadable)
		}
		query = next
	}
	return fmt.Errorf("%w: it has more than %d pages", ErrUnreadable, maxPages)
}

// tagPage reads one page and the query of the next, "" after the last.
func (c *Client) tagPage(ctx context.Context, ref oras.Reference, query string) ([]string, string, error) {
	path := "/v2/" + ref.Repository + "/tags/list?" + query
	resp, err := c.send(ctx, request{method: http.MethodGet, path: path, repository: ref, actions: []string{auth.ActionPull}, about: tagList})
	if err != nil {
		return nil, "", err
	}
	defer discard(resp)
	data, err := c.readAll(resp, maxPageBytes)
	if err != nil {
		return nil, "", err
	}
	var page struct {
		Name string          `json:"name"`
		Tags json.RawMessage `json:"tags"`
	}
	var tags []string
	// A document without the field is not a repository without tags (I2); null is.
	if json.Unmarshal(data, &page) != nil || page.Tags == nil || json.Unmarshal(page.Tags, &tags) != nil {
		return nil, "", fmt.Errorf("%w: it is not a list of tags", ErrUnreadable)
	}
	if page.Name != "" && page.Name != ref.Repository {
		return nil, "", fmt.Errorf("%w: it is the list of %.255q", ErrUnreadable, page.Name)
	}
	for _, tag := range tags {
		if err := (oras.Reference{Reference: tag}).ValidateReferenceAsTag(); err != nil {
			return nil, "", fmt.Errorf("%w: it lists the tag %.140q", ErrUnreadable, tag)
		}
	}
	next, err := nextPage(resp)
	if err != nil {
		return nil, "", err
	}
	return tags, next, nil
}

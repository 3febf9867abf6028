package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	oras "oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/errcode"
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
// was to be expected), ErrUnreadable when a page is not a list of tags, the pages go round in
// circles, or there are more than 10,000 pages or 1,000,000 tags.
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
	resp, err := c.send(ctx, request{method: http.MethodGet, path: path, repository: ref, actions: []string{auth.ActionPull}})
	var answer *errcode.ErrorResponse
	if errors.Is(err, ErrNotFound) && errors.As(err, &answer) && !slices.ContainsFunc(answer.Errors, isNameUnknown) {
		// Whatever else is not found, it is not said that the repository has no tags (I2).
		return nil, "", fmt.Errorf("%w: it is not said that the repository is unknown: %s", ErrUnreadable, err.Error())
	}
	if err != nil {
		return nil, "", err
	}
	defer discard(resp)
	data, err := c.readAll(resp, maxPageBytes)
	if err != nil {
		return nil, "", err
	}
	var page struct {
		Tags json.RawMessage `json:"tags"`
	}
	var tags []string
	// A document without the field is not a repository without tags (I2); null is.
	if json.Unmarshal(data, &page) != nil || page.Tags == nil || json.Unmarshal(page.Tags, &tags) != nil {
		return nil, "", fmt.Errorf("%w: it is not a list of tags", ErrUnreadable)
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

// isNameUnknown: the registry does not know the repository (OCI distribution-spec, "Error Codes").
func isNameUnknown(e errcode.Error) bool { return e.Code == errcode.ErrorCodeNameUnknown }

// nextPage returns the query of the answer's link to the next page (RFC 8288), "" after the last page. It
// is the link whose relations contain "next". If there is none, a link without a relation is taken for it:
// a page too many loses nothing (I2). Errors wrap ErrUnreadable: a Link header is malformed, the link has no
// query, or there are links to different pages. Only the query is used: behind a proxy a registry often names
// an inner host or path in the link, and the client's credentials are not sent there.
func nextPage(resp *http.Response) (string, error) {
	next := ""
	for _, target := range nextTargets(resp.Header.Values("Link")) {
		parsed, err := url.Parse(target)
		switch {
		case err != nil || parsed.RawQuery == "":
			return "", fmt.Errorf("%w: its link to the next page is malformed", ErrUnreadable)
		case next != "" && next != parsed.RawQuery:
			return "", fmt.Errorf("%w: it has links to different next pages", ErrUnreadable)
		}
		next = parsed.RawQuery
	}
	return next, nil
}

// nextTargets returns the targets of the links to the next page in Link headers. A malformed link is an empty
// target, which refers to no page.
func nextTargets(headers []string) []string {
	var next, unnamed []string
	for _, rest := range headers {
		for rest = skipLinkSpace(rest); rest != ""; rest = skipLinkSpace(rest) {
			var target string
			var relations []string
			var ok bool
			target, relations, rest, ok = cutLink(rest)
			switch {
			case !ok:
				return []string{""}
			case slices.Contains(relations, "next"):
				next = append(next, target)
			case len(relations) == 0:
				unnamed = append(unnamed, target)
			}
		}
	}
	if len(next) == 0 {
		return unnamed
	}
	return next
}

// skipLinkSpace skips the white space and empty elements between the links of a header.
func skipLinkSpace(s string) string { return strings.TrimLeft(s, " \t,") }

// cutLink cuts the first link off a Link header: its target, its relations in lower case, none if it has no
// rel parameter, and what follows it. ok is false if the link is malformed.
func cutLink(s string) (target string, relations []string, rest string, ok bool) {
	s, ok = strings.CutPrefix(s, "<")
	target, rest, closed := strings.Cut(s, ">")
	if !ok || !closed {
		return "", nil, "", false
	}
	named := false
	for {
		rest = strings.TrimLeft(rest, " \t")
		if rest == "" || rest[0] == ',' {
			return target, relations, rest, true
		}
		if rest[0] != ';' {
			return "", nil, "", false
		}
		var name, value string
		if name, value, rest, ok = cutLinkParameter(strings.TrimLeft(rest[1:], " \t")); !ok {
			return "", nil, "", false
		}
		if strings.EqualFold(name, "rel") && !named { // the first one counts
			named, relations = true, relationsOf(value)
		}
	}
}

// relationsOf splits the value of a rel parameter. Some servers separate or quote relations in other ways
// than by spaces and double quotes; these are read as well.
func relationsOf(value string) []string {
	return strings.FieldsFunc(strings.ToLower(value), func(r rune) bool { return strings.ContainsRune(" \t,;'\"", r) })
}

// cutLinkParameter cuts the first parameter off, its name and its value without quotes.
func cutLinkParameter(s string) (name, value, rest string, ok bool) {
	name, rest = cutBefore(s, "=;, \t")
	rest = strings.TrimLeft(rest, " \t")
	if !strings.HasPrefix(rest, "=") {
		return name, "", rest, true
	}
	rest = strings.TrimLeft(rest[1:], " \t")
	if !strings.HasPrefix(rest, `"`) {
		value, rest = cutBefore(rest, ";, \t")
		return name, value, rest, true
	}
	var unquoted strings.Builder
	for i := 1; i < len(rest); i++ {
		switch rest[i] {
		case '"':
			return name, unquoted.String(), rest[i+1:], true
		case '\\':
			if i++; i == len(rest) {
				return "", "", "", false
			}
		}
		unquoted.WriteByte(rest[i])
	}
	return "", "", "", false
}

// cutBefore cuts a text before the first of some characters.
func cutBefore(s, characters string) (before, rest string) {
	if i := strings.IndexAny(s, characters); i >= 0 {
		return s[:i], s[i:]
	}
	return s, ""
}

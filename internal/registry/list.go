package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
	oras "oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote/errcode"
)

// actionMetadataRead is what a token must allow for Azure Container Registry to show a list.
const actionMetadataRead = "metadata_read"

var errNoList = errors.New("the registry has no list of image manifests")

// Listed is one image manifest as the registry's own list shows it.
type Listed struct {
	Digest    digest.Digest
	MediaType string
	// Size is of the image, its layers included, as the registry counts it.
	Size int64
	// Tags at the digest, sorted; none when it has no tag.
	Tags []string
	// Locked: the registry will not delete the digest before somebody has unlocked it.
	Locked bool
}

// List returns the image manifests of a repository, those without a tag among them, sorted by
// digest, each once. The OCI API has no such list; Azure Container Registry has one.
//
// It is whole or an error: wrapping ErrUnsupported when the registry has no such list, which
// is remembered and not asked again; ErrNotFound when it does not know the repository;
// ErrDenied when the login may not read metadata; ErrUnreadable as with Tags. The registry
// leaves out what an owner has hidden (listEnabled: false), so that a digest which is not in
// the list may still be there, and name others.
// Spec: Azure Container Registry REST API, "Manifests - Get List".
func (c *Client) List(ctx context.Context, repository string) ([]Listed, error) {
	listed, err := c.list(ctx, repository)
	if err != nil {
		return nil, fmt.Errorf("listing the image manifests of %s/%s: %w", c.location.Host, repository, err)
	}
	return listed, nil
}

func (c *Client) list(ctx context.Context, repository string) ([]Listed, error) {
	ref, err := c.repository(repository)
	if err != nil {
		return nil, err
	}
	if c.unlisted.Load() {
		return nil, c.fail(ErrUnsupported, errNoList)
	}
	var all []Listed
	seen := map[digest.Digest]int{}
	err = follow("n="+strconv.Itoa(pageSize), func(query string) (had, fresh int, next string, err error) {
		page, next, err := c.listPage(ctx, ref, query)
		for _, l := range page {
			i, again := seen[l.Digest]
			if again { // it has changed between two pages: what protects it counts
				all[i].Tags = append(all[i].Tags, l.Tags...)
				all[i].Locked = all[i].Locked || l.Locked
				continue
			}
			seen[l.Digest] = len(all)
			fresh++
			all = append(all, l)
		}
		return len(page), fresh, next, err
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

// listPage reads one page and the query of the next, "" after the last.
func (c *Client) listPage(ctx context.Context, ref oras.Reference, query string) ([]Listed, string, error) {
	path := "/acr/v1/" + ref.Repository + "/_manifests?" + query
	r := request{method: http.MethodGet, path: path, repository: ref, actions: []string{actionMetadataRead}, about: tagList}
	resp, err := c.do(ctx, r)
	if err != nil {
		return nil, "", err
	}
	defer discard(resp)
	if err := c.checkListed(resp, r); err != nil {
		return nil, "", err
	}
	data, err := c.readAll(resp, maxPageBytes)
	if err != nil {
		return nil, "", err
	}
	page, err := parseListed(ref.Repository, data)
	if err != nil {
		return nil, "", err
	}
	next, err := nextPage(resp)
	if err != nil {
		return nil, "", err
	}
	return page, next, nil
}

// checkListed is nil for an answer that may be a list. It tells a registry that does not know
// the path, and answers as its web server does to any other, from one that does and has no
// such repository or denies it.
func (c *Client) checkListed(resp *http.Response, r request) error {
	portal := isHTML(resp.Header)
	if succeeded(resp) && !portal {
		return nil
	}
	err := c.answered(resp, r)
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
		unknown = succeeded(resp)
	}
	if unknown {
		c.unlisted.Store(true)
		return c.fail(ErrUnsupported, fmt.Errorf("%w: %w", errNoList, answer))
	}
	return err
}

// listedManifest is an entry of the list. What it has beside these fields does not matter.
type listedManifest struct {
	Digest    digest.Digest `json:"digest"`
	MediaType string        `json:"mediaType"`
	ImageSize int64         `json:"imageSize"`
	Tags      []string      `json:"tags"` // absent, null and empty all mean none
	// Either one set to false keeps the digest from being deleted.
	Attributes struct {
		DeleteEnabled *bool `json:"deleteEnabled"`
		WriteEnabled  *bool `json:"writeEnabled"`
	} `json:"changeableAttributes"`
}

// parseListed reads a page. One entry that makes no sense spoils them all (I2): it could be
// the one that names the others.
func parseListed(repository string, data []byte) ([]Listed, error) {
	var page struct {
		ImageName string          `json:"imageName"`
		Manifests json.RawMessage `json:"manifests"`
	}
	var entries []listedManifest
	// A document without the field is not a repository without manifests; null is.
	if json.Unmarshal(data, &page) != nil || json.Unmarshal(page.Manifests, &entries) != nil {
		return nil, fmt.Errorf("%w: it is not a list of image manifests", ErrUnreadable)
	}
	if page.ImageName != "" && page.ImageName != repository {
		return nil, fmt.Errorf("%w: it is the list of %.255q", ErrUnreadable, page.ImageName)
	}
	listed := make([]Listed, 0, len(entries))
	for _, e := range entries {
		if e.Digest.Validate() != nil || e.ImageSize < 0 {
			return nil, fmt.Errorf("%w: it lists the digest %.100q with a size of %d", ErrUnreadable, e.Digest, e.ImageSize)
		}
		for _, tag := range e.Tags {
			if err := (oras.Reference{Reference: tag}).ValidateReferenceAsTag(); err != nil {
				return nil, fmt.Errorf("%w: it lists the tag %.140q", ErrUnreadable, tag)
			}
		}
		isFalse := func(b *bool) bool { return b != nil && !*b }
		listed = append(listed, Listed{
			Digest: e.Digest, MediaType: e.MediaType, Size: e.ImageSize, Tags: e.Tags,
			Locked: isFalse(e.Attributes.DeleteEnabled) || isFalse(e.Attributes.WriteEnabled),
		})
	}
	return listed, nil
}

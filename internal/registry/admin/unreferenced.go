package admin

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/opencontainers/go-digest"
	"k8s.io/apimachinery/pkg/types"

	"github.com/nfo-operator/nfo/internal/registry/decode"
	"github.com/nfo-operator/nfo/internal/registry/failure"
	"github.com/nfo-operator/nfo/internal/registry/wire"
)

// unreferencedPage is how many manifests are requested at a time.
// That many manifests with the longest names fit into maxState.
const unreferencedPage = 500

// Unreferenced is a manifest that nothing in the cluster's own registry references: no
// tag, no index, and no subject. It was not pushed within the registry's grace period.
type Unreferenced struct {
	Repository string        `json:"repository"`
	Digest     digest.Digest `json:"digest"`
}

// Unreferenced returns the manifests in the repositories of a store that nothing in the cluster's own registry
// references. Their children and referrers are included. Manifests whose deletion was already requested are not.
//
// The list is complete, or there is an error. Errors wrap ErrUnsupported for any other registry, and for a
// registry that does not keep its content on a volume; ErrUnreadable if the list is invalid or too long.
func (r Routes) Unreferenced(ctx context.Context, store types.NamespacedName) ([]Unreferenced, error) {
	found, err := r.unreferenced(ctx, store)
	if err != nil {
		return nil, fmt.Errorf("asking %s for manifests that nothing references: %w", r.wire.Location.Host, err)
	}
	return found, nil
}

func (r Routes) unreferenced(ctx context.Context, store types.NamespacedName) (all []Unreferenced, err error) {
	query := url.Values{"prefix": {r.wire.Location.Prefix}, "n": {strconv.Itoa(unreferencedPage)}}
	for range decode.MaxPages {
		var said struct {
			Manifests []Unreferenced `json:"manifests"`
			Next      string         `json:"next"`
		}
		if err := r.admin(ctx, http.MethodGet, unreferencedPath, store, query, &said); err != nil {
			return nil, err
		}
		for _, m := range said.Manifests {
			if _, err := r.wire.Repository(m.Repository); err != nil || m.Digest.Validate() != nil {
				return nil, fmt.Errorf("%w: it lists the digest %.100q of %.255q", failure.ErrUnreadable, m.Digest, m.Repository)
			}
		}
		if all = append(all, said.Manifests...); len(all) > decode.MaxEntries {
			return nil, decode.TooLong(len(all))
		}
		switch said.Next {
		case "":
			return all, nil
		case query.Get("after"):
			return nil, fmt.Errorf("%w: its pages do not move on", failure.ErrUnreadable)
		}
		query.Set("after", said.Next)
	}
	return nil, fmt.Errorf("%w: it has more than %d pages", failure.ErrUnreadable, decode.MaxPages)
}

// DeleteUnreferenced requests that the next collection of the cluster's own registry deletes a manifest that
// Unreferenced has returned. The collection keeps the manifest if something references it at that time, or if it
// is pushed again. Errors wrap ErrNotFound, or ErrProtected if the manifest was pushed again before the request.
func (r Routes) DeleteUnreferenced(ctx context.Context, store types.NamespacedName, repository string, d digest.Digest) error {
	if err := r.deleteUnreferenced(ctx, store, repository, d); err != nil {
		return fmt.Errorf("asking %s to delete %s of %s: %w", r.wire.Location.Host, d, repository, err)
	}
	return nil
}

func (r Routes) deleteUnreferenced(ctx context.Context, store types.NamespacedName, repository string, d digest.Digest) error {
	if _, err := r.wire.Repository(repository); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	asked := wire.Request{Method: http.MethodDelete, Path: adminPath(unreferencedPath, store, url.Values{"repository": {repository}, "digest": {d.String()}}), About: wire.AManifest}
	resp, err := r.wire.Do(ctx, asked)
	if err != nil {
		return err
	}
	defer wire.Discard(resp)
	switch {
	case resp.StatusCode == http.StatusAccepted:
		return nil
	case wire.Succeeded(resp):
		return r.wire.Fail(failure.ErrUnavailable, errNotOurs)
	}
	return r.wire.Answered(resp, asked)
}

package registrytest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/internal/registry"
)

// ServeACR makes the registry similar to Azure Container Registry: it lists the image manifests of a
// repository, requires a separate token from /oauth2/token if it was started with BearerAuth, and refuses
// to delete digests that Lock has locked. The list shows the content of the registry's directory.
// Spec: Azure Container Registry REST API, "Manifests - Get List".
func (r *Registry) ServeACR() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.acr = &acr{registry: r, next: r.App, locked: map[string]bool{}}
}

// Lock makes the registry refuse to delete a digest, as deleteEnabled: false does. It needs ServeACR.
func (r *Registry) Lock(repository string, d digest.Digest) { r.acr.lock(repository, d, true) }

// Unlock ends the effect of Lock.
func (r *Registry) Unlock(repository string, d digest.Digest) { r.acr.lock(repository, d, false) }

type acr struct {
	registry *Registry
	next     http.Handler

	mu     sync.Mutex
	locked map[string]bool // by the path of the manifest
}

func manifestPath(repository string, d digest.Digest) string {
	return "/v2/" + repository + "/manifests/" + d.String()
}

func (a *acr) lock(repository string, d digest.Digest, locked bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.locked[manifestPath(repository, d)] = locked
}

func (a *acr) isLocked(path string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.locked[path]
}

func (a *acr) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	repository, list := strings.CutPrefix(req.URL.Path, "/acr/v1/")
	repository, isList := strings.CutSuffix(repository, "/_manifests")
	tokens := a.registry.Tokens
	switch {
	case tokens != nil && req.URL.Path == "/oauth2/token":
		tokens.ServeHTTP(w, req)
	case list && isList && req.Method == http.MethodGet:
		a.serveList(w, req, repository)
	case req.Method == http.MethodDelete && a.isLocked(req.URL.Path):
		Fail(w, http.StatusMethodNotAllowed, "REGISTRY_DISALLOWED_OPERATION", "The operation is disallowed on this registry, repository or image.")
	default:
		a.next.ServeHTTP(w, req)
	}
}

// acrManifest is an entry of the list. The field for tags is missing if there are none.
type acrManifest struct {
	Digest         digest.Digest   `json:"digest"`
	ImageSize      int64           `json:"imageSize"`
	CreatedTime    time.Time       `json:"createdTime"`
	LastUpdateTime time.Time       `json:"lastUpdateTime"`
	MediaType      string          `json:"mediaType"`
	Tags           []string        `json:"tags,omitempty"`
	Attributes     map[string]bool `json:"changeableAttributes"`
}

func (a *acr) serveList(w http.ResponseWriter, req *http.Request, repository string) {
	if tokens := a.registry.Tokens; tokens != nil {
		token := strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer ")
		if !tokens.gave(token, repository, "metadata_read") {
			challenge(w, a.registry.URL(""), repository)
			return
		}
	}
	all, err := a.manifests(repository)
	switch {
	case err != nil:
		Fail(w, http.StatusInternalServerError, "UNKNOWN", err.Error())
		return
	case len(all) == 0:
		Fail(w, http.StatusNotFound, "NAME_UNKNOWN", "repository name not known to registry")
		return
	}
	last := req.URL.Query().Get("last")
	all = slices.DeleteFunc(all, func(m acrManifest) bool { return m.Digest.String() <= last })
	size := 100
	if n, err := strconv.Atoi(req.URL.Query().Get("n")); err == nil && n > 0 {
		size = n
	}
	if size = min(size, a.registry.maxTags); len(all) > size {
		all = all[:size]
		next := fmt.Sprintf("/acr/v1/%s/_manifests?last=%s&n=%d&orderby=", url.PathEscape(repository), url.QueryEscape(all[size-1].Digest.String()), size)
		w.Header().Set("Link", `<`+next+`>; rel="next"`)
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_ = json.NewEncoder(w).Encode(map[string]any{"registry": a.registry.Host, "imageName": repository, "manifests": all})
}

func challenge(w http.ResponseWriter, host, repository string) {
	w.Header().Set("Www-Authenticate", fmt.Sprintf(`Bearer realm="%s/oauth2/token",service="registry",scope="repository:%s:metadata_read"`, host, repository))
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(http.StatusUnauthorized)
	_, _ = fmt.Fprintf(w, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required","detail":[{"Type":"repository","Name":%q,"Action":"metadata_read"}]}]}`, repository)
}

// manifests reads the manifests of a repository from the registry's directory, sorted by digest.
func (a *acr) manifests(repository string) ([]acrManifest, error) {
	root := os.DirFS(a.registry.dir)
	base := path.Join("docker/registry/v2/repositories", repository, "_manifests")
	tags := map[digest.Digest][]string{}
	links, err := fs.Glob(root, base+"/tags/*/current/link")
	if err != nil {
		return nil, err
	}
	for _, link := range links {
		if d, err := fs.ReadFile(root, link); err == nil { // the tag may have been deleted in the meantime
			tag := strings.Split(strings.TrimPrefix(link, base+"/"), "/")[1]
			tags[digest.Digest(d)] = append(tags[digest.Digest(d)], tag)
		}
	}
	if links, err = fs.Glob(root, base+"/revisions/*/*/link"); err != nil {
		return nil, err
	}
	var all []acrManifest
	for _, link := range links {
		m, err := a.read(root, link)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		m.Tags = tags[m.Digest]
		open := !a.isLocked(manifestPath(repository, m.Digest))
		m.Attributes = map[string]bool{"deleteEnabled": open, "writeEnabled": true, "readEnabled": true, "listEnabled": true}
		all = append(all, m)
	}
	slices.SortFunc(all, func(x, y acrManifest) int { return strings.Compare(x.Digest.String(), y.Digest.String()) })
	return all, nil
}

func (a *acr) read(root fs.FS, link string) (acrManifest, error) {
	info, err := fs.Stat(root, link)
	if err != nil {
		return acrManifest{}, err
	}
	text, err := fs.ReadFile(root, link)
	if err != nil {
		return acrManifest{}, err
	}
	d := digest.Digest(text)
	if err := d.Validate(); err != nil {
		return acrManifest{}, fmt.Errorf("reading %s: %w", link, err)
	}
	data, err := fs.ReadFile(root, path.Join("docker/registry/v2/blobs", d.Algorithm().String(), d.Encoded()[:2], d.Encoded(), "data"))
	if err != nil {
		return acrManifest{}, err
	}
	content, err := registry.ParseManifest("", data)
	if err != nil {
		return acrManifest{}, fmt.Errorf("reading %s: %w", d, err)
	}
	m := acrManifest{Digest: d, MediaType: content.Descriptor.MediaType, CreatedTime: info.ModTime(), LastUpdateTime: info.ModTime()}
	for _, blob := range content.Blobs {
		m.ImageSize += blob.Size
	}
	return m, nil
}

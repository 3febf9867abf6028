package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry/failure"
	"github.com/nfo-operator/nfo/internal/registry/wire"
)

// The paths of the routes that only the cluster's own registry has: the
// use of its volume, its collections, and its unreferenced manifests.
const (
	usagePath        = "/nfo/v1/usage"
	collectionPath   = "/nfo/v1/collection"
	unreferencedPath = "/nfo/v1/unreferenced"
	// maxState bounds an answer, in bytes. An answer with 16 problems in words has a few thousand.
	maxState = 256 << 10
)

// errNotOurs is wrapped together with ErrUnsupported or ErrUnavailable.
var errNotOurs = errors.New("this registry does not report its disk and cannot be asked to collect: only the registry that nfo ships does")

// Routes are the routes that only the cluster's own registry has. They are safe for concurrent use.
type Routes struct{ wire *wire.Client }

// Of returns the routes of a registry. It sends nothing.
func Of(w *wire.Client) Routes { return Routes{w} }

// Disk is how full the volume of a registry is, in bytes. Used is at most Size.
type Disk struct{ Size, Used int64 }

// Collection is what a registry reports of its collections.
type Collection struct {
	// Requested counts the collections that were requested, and Done how many of them have ended.
	Requested, Done int64
	// Phase is what the running collection does, "" if none runs. Count
	// is how many files or repositories it has processed in this phase.
	Phase string
	Count int64
	// Freed is how many bytes the last collection freed. DryRun reports
	// whether it deleted nothing. Failed is why it failed, "" if it did not.
	Freed  int64
	DryRun bool
	Failed string
}

// Disk returns how full the volume of the cluster's own registry is. It asks
// on behalf of a store. Errors wrap ErrUnsupported for any other registry.
func (r Routes) Disk(ctx context.Context, store types.NamespacedName) (Disk, error) {
	var said struct {
		Size int64 `json:"size"`
		Used int64 `json:"used"`
	}
	err := r.admin(ctx, http.MethodGet, usagePath, store, nil, &said)
	if err == nil && (said.Size <= 0 || said.Used < 0 || said.Used > said.Size) {
		err = fmt.Errorf("%w: %d of %d bytes are used, it says", failure.ErrUnreadable, said.Used, said.Size)
	}
	if err != nil {
		return Disk{}, fmt.Errorf("asking %s how full it is: %w", r.wire.Location.Host, err)
	}
	return Disk{said.Size, said.Used}, nil
}

// Collection returns the state of the collections of the cluster's own registry.
// It asks on behalf of a store. Errors wrap ErrUnsupported for any other registry.
func (r Routes) Collection(ctx context.Context, store types.NamespacedName) (Collection, error) {
	return r.collection(ctx, http.MethodGet, store)
}

// Collect requests a collection of the cluster's own registry, on behalf of a store. In the state that it
// returns, the new request has the number Requested. Errors wrap ErrUnsupported for any other registry.
func (r Routes) Collect(ctx context.Context, store types.NamespacedName) (Collection, error) {
	return r.collection(ctx, http.MethodPost, store)
}

func (r Routes) collection(ctx context.Context, method string, store types.NamespacedName) (Collection, error) {
	var said collectionState
	err := r.admin(ctx, method, collectionPath, store, nil, &said)
	if err == nil && min(said.Requested, said.Done, said.Last.Deleted.Bytes, said.Last.Deleted.UploadBytes) < 0 {
		err = fmt.Errorf("%w: it has a number below 0", failure.ErrUnreadable)
	}
	if err != nil {
		doing := "asking %s about its collections: %w"
		if method == http.MethodPost {
			doing = "asking %s to collect: %w"
		}
		return Collection{}, fmt.Errorf(doing, r.wire.Location.Host, err)
	}
	return said.collection(r.wire.Scrub), nil
}

// collectionState has the fields of the registry's answer that are used.
type collectionState struct {
	Running   bool   `json:"running"`
	Requested int64  `json:"requested"`
	Done      int64  `json:"done"`
	Error     string `json:"error"`
	Progress  struct {
		Phase string `json:"phase"`
		Done  int64  `json:"done"`
	} `json:"progress"`
	Last struct {
		DryRun  bool `json:"dryRun"`
		Deleted struct {
			Bytes       int64 `json:"bytes"`
			UploadBytes int64 `json:"uploadBytes"`
		} `json:"deleted"`
	} `json:"last"`
}

func (s collectionState) collection(scrub func(string) string) Collection {
	line := func(text string) string { return v1alpha1.Clip(v1alpha1.Line(scrub(text)), failure.MaxText) }
	got := Collection{
		Requested: s.Requested, Done: s.Done, DryRun: s.Last.DryRun, Failed: line(s.Error),
		Freed: saturated(s.Last.Deleted.Bytes, s.Last.Deleted.UploadBytes),
	}
	if s.Running {
		got.Phase, got.Count = line(s.Progress.Phase), s.Progress.Done
	}
	return got
}

// saturated returns the sum of two sizes, or the largest int64 if the sum exceeds it.
func saturated(a, b int64) int64 {
	if sum := a + b; sum >= a {
		return sum
	}
	return 1<<63 - 1
}

// adminTimeout bounds one request, all tries included.
const adminTimeout = 30 * time.Second

// admin sends a request to one of the routes that only the cluster's
// own registry has. more are parameters in addition to the store.
func (r Routes) admin(ctx context.Context, method, path string, store types.NamespacedName, more url.Values, into any) error {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	asked := wire.Request{Method: method, Path: adminPath(path, store, more)}
	resp, err := r.wire.Do(ctx, asked)
	if err != nil {
		return err
	}
	defer wire.Discard(resp)
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")) // "" if it cannot be read
	switch {
	case resp.StatusCode == http.StatusNotFound, resp.StatusCode == http.StatusMethodNotAllowed, wire.Succeeded(resp) && kind != "application/json":
		return r.wire.Fail(failure.ErrUnsupported, errNotOurs)
	case resp.StatusCode == http.StatusNotImplemented: // its storage is not a volume
		return r.wire.Fail(failure.ErrUnsupported, r.wire.Answered(resp, asked))
	case !wire.Succeeded(resp):
		return r.wire.Answered(resp, asked)
	}
	return r.wire.Consume(resp, maxState, func(data []byte) error {
		if err := json.Unmarshal(data, into); err != nil {
			return r.wire.Fail(failure.ErrUnreadable, err)
		}
		return nil
	})
}

func adminPath(path string, store types.NamespacedName, more url.Values) string {
	query := url.Values{"store": {store.String()}}
	maps.Copy(query, more)
	return path + "?" + query.Encode()
}

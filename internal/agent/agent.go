package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/nfo-operator/nfo/internal/registry"
)

const (
	defaultFirstByte = 10 * time.Second
	defaultIdle      = 2 * time.Minute
	defaultRequests  = 128
	// maxVerified is how many manifests are read at a time, of up to 4 MiB each.
	maxVerified = 8
)

// Options are what New needs.
type Options struct {
	// Port is the agent's own at the loopback addresses, which is never an origin.
	Port int
	// Registry is host:port of the registry that nfo ships, and more of them for where names cannot be resolved. The
	// replicas are all addresses that the hosts have.
	Registry []string
	// ServerName is the name in the registry's certificate. Default: the first host of Registry.
	ServerName string
	// Files are read again when they change. One that is missing means that the registry cannot be asked yet.
	Files Files
	// Replicas replaces looking up the addresses of Registry. Each is host:port.
	Replicas func(context.Context) ([]string, error)
	// Addresses are those at which origins are asked. Default: registry.AnyAddress.
	Addresses registry.Addresses
	// PlainHTTP are origins, as host or host:port, that are asked over plain HTTP.
	PlainHTTP []string
	// Authorities is a folder with PEM files, each with the certificate authorities of one origin and named like the
	// origin's host in a path of the mirror, with .crt: registry.example.com_5000.crt. "": the system's for all.
	Authorities string
	// FirstByte bounds when an answer begins: 10 seconds unless given.
	FirstByte time.Duration
	// Idle bounds how long neither side may send or take a byte of an answer that has begun: 2 minutes unless given.
	Idle time.Duration
	// Requests is how many are answered at a time: 128 unless given. Others wait for a part of FirstByte.
	Requests int64
	// Log gets what an administrator must know of. Default: nothing is logged.
	Log *slog.Logger
}

// Agent answers the container runtime of one node. It is safe for concurrent use.
type Agent struct {
	o        Options
	replicas *replicas
	origins  *origins
	turns    *semaphore.Weighted
	verified *semaphore.Weighted
	counters *counters
}

// New makes an agent. It asks nothing.
func New(o Options) (*Agent, error) {
	o.FirstByte, o.Idle, o.Requests = cmp.Or(o.FirstByte, defaultFirstByte), cmp.Or(o.Idle, defaultIdle), cmp.Or(o.Requests, defaultRequests)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	replicas, err := newReplicas(o)
	if err != nil {
		return nil, err
	}
	origins, err := newOrigins(o)
	if err != nil {
		return nil, err
	}
	return &Agent{
		o: o, replicas: replicas, origins: origins, counters: newCounters(),
		turns: semaphore.NewWeighted(o.Requests), verified: semaphore.NewWeighted(maxVerified),
	}, nil
}

// ServeHTTP answers one request.
func (a *Agent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		refuse(w, http.StatusMethodNotAllowed, "UNSUPPORTED", "images can only be pulled here")
		return
	}
	if r.URL.Path == "/v2/" || r.URL.Path == "/v2" {
		w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte("{}")) // who has gone does not read it
		return
	}
	asked, err := read(r)
	if err != nil {
		refuse(w, http.StatusNotFound, "NAME_UNKNOWN", err.Error())
		return
	}
	begun := time.Now()
	waiting, cancel := context.WithTimeout(r.Context(), a.o.FirstByte/2)
	defer cancel()
	if err := a.turns.Acquire(waiting, 1); err != nil {
		a.counters.count(sourceFailed)
		refuse(w, http.StatusServiceUnavailable, "TOOMANYREQUESTS", "the agent of this node is busy")
		return
	}
	defer a.turns.Release(1)
	a.answer(w, r, asked, begun.Add(a.o.FirstByte))
}

// answer asks the registry, then the origin, until a time.
func (a *Agent) answer(w http.ResponseWriter, r *http.Request, asked ask, until time.Time) {
	release, err := a.mayVerify(r.Context(), asked, until)
	if err != nil {
		a.counters.count(sourceFailed)
		refuse(w, http.StatusServiceUnavailable, "TOOMANYREQUESTS", "the agent of this node is busy")
		return
	}
	defer release()
	got, mirrorErr := a.fromRegistry(r, asked, until)
	source := sourceRegistry
	var originErr error
	if mirrorErr != nil && r.Context().Err() == nil { // otherwise the node has gone
		source = sourceOrigin
		got, originErr = a.fromOrigin(r, asked, until)
	}
	switch {
	case got != nil:
		a.counters.count(source)
		got.relay(w, r.Method, a.o.Idle)
		return
	case r.Context().Err() != nil:
		return
	}
	why := fmt.Sprintf("the cluster's registry: %s; %s: %s", mirrorErr, asked.image.Host, originErr)
	a.o.Log.Info("Could not serve an image", "image", asked.image.String(), "what", asked.what(), "registry", mirrorErr.Error(), "origin", originErr.Error())
	if errors.Is(originErr, errMissing) || errors.Is(originErr, registry.ErrDenied) {
		a.counters.count(sourceMissing)
		code := map[string]string{manifests: "MANIFEST_UNKNOWN", blobs: "BLOB_UNKNOWN"}[asked.kind]
		refuse(w, http.StatusNotFound, code, why)
		return
	}
	a.counters.count(sourceFailed)
	refuse(w, http.StatusServiceUnavailable, "UNAVAILABLE", why)
}

// mayVerify waits until a manifest may be read into memory. Only what is verified waits.
func (a *Agent) mayVerify(ctx context.Context, asked ask, until time.Time) (release func(), err error) {
	if !asked.verifies() {
		return func() {}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, time.Until(until)/2)
	defer cancel()
	if err := a.verified.Acquire(ctx, 1); err != nil {
		return nil, fmt.Errorf("waiting to read a manifest: %w", err)
	}
	return func() { a.verified.Release(1) }, nil
}

// verifies reports whether an answer is read and verified before it goes on.
func (a ask) verifies() bool { return a.kind == manifests && a.method == http.MethodGet }

// fromRegistry asks the replicas, for at most half of the time that is left.
func (a *Agent) fromRegistry(r *http.Request, asked ask, until time.Time) (*answer, error) {
	half := time.Now().Add(time.Until(until) / 2)
	return a.replicas.ask(r.Context(), asked, onward(r, asked), half)
}

// fromOrigin asks the registry that the image is from.
func (a *Agent) fromOrigin(r *http.Request, asked ask, until time.Time) (*answer, error) {
	got, err := a.origins.ask(r, asked, until)
	if err != nil {
		return nil, err
	}
	if asked.verifies() {
		if err := got.verify(asked, time.Until(until)); err != nil {
			got.close()
			return nil, err
		}
	}
	return got, nil
}

// onward are the headers of a request that go on, none of which is a login.
func onward(r *http.Request, asked ask) http.Header {
	header := http.Header{}
	for _, name := range []string{"Accept", "Range"} {
		if v := r.Header.Values(name); len(v) > 0 && (name != "Range" || asked.kind == blobs) {
			header[name] = v
		}
	}
	return header
}

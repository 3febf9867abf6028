package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/nfo-operator/nfo/internal/registry"
)

const (
	defaultFirstByte = 10 * time.Second
	defaultIdle      = 2 * time.Minute
	defaultStall     = 30 * time.Second
	defaultRequests  = 128
	// maxVerified bounds the manifests, of up to 4 MiB each, that are read at the same time.
	maxVerified = 8
)

// Options are the settings and dependencies of an Agent.
type Options struct {
	// Port is the agent's own port at the loopback addresses. It is never used as an origin.
	Port int
	// Registry has host:port of the registry that nfo ships, and further ones for
	// nodes that cannot resolve names. All addresses of these hosts are replicas.
	Registry []string
	// ServerName is the name in the registry's certificate. Default: the first host of Registry.
	ServerName string
	// Files are read again when they change. While one is missing, the registry cannot be used.
	Files Files
	// Replicas, if not nil, replaces the lookup of the addresses of Registry. It returns host:port for each replica.
	Replicas func(context.Context) ([]string, error)
	// Addresses are the addresses that origins may have. Default: registry.AnyAddress.
	Addresses registry.Addresses
	// PlainHTTP are the origins, as host or host:port, that are reached over plain HTTP.
	PlainHTTP []string
	// Authorities is a folder with PEM files, each with the certificate authorities of one origin. A
	// file is named like the origin's host in a path of the mirror, with .crt:
	// registry.example.com_5000.crt. With "", the system's authorities are used for all origins.
	Authorities string
	// FirstByte is the time within which a response must begin. Default: 10 seconds.
	FirstByte time.Duration
	// Idle is how long a response that has begun may make no progress, on either side. Default: 2 minutes.
	Idle time.Duration
	// Stall is the time in which an origin must send at least 64 KiB while the agent waits for them. Default: 30 seconds.
	Stall time.Duration
	// Requests bounds the requests that are answered at the same time. At least 4. At most three quarters of them are for
	// origins, and at most half of these for one origin. Others wait for a part of FirstByte. Default: 128.
	Requests int64
	// Log gets what an administrator must know. Default: nothing is logged.
	Log *slog.Logger
}

// Agent answers the container runtime of one node. It is safe for concurrent use.
type Agent struct {
	o        Options
	replicas *replicas
	origins  *origins
	turns    *turns
	verified *turns
	counters *counters
}

// New returns an Agent. It makes no request.
func New(o Options) (*Agent, error) {
	o.FirstByte, o.Idle = cmp.Or(o.FirstByte, defaultFirstByte), cmp.Or(o.Idle, defaultIdle)
	o.Stall, o.Requests = cmp.Or(o.Stall, defaultStall), cmp.Or(o.Requests, defaultRequests)
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
		turns: newTurns(o.Requests), verified: newTurns(maxVerified),
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
		_, _ = w.Write([]byte("{}")) // the node may have closed the connection
		return
	}
	asked, err := read(r)
	if err != nil {
		refuse(w, http.StatusNotFound, "NAME_UNKNOWN", err.Error())
		return
	}
	a.answer(w, r, asked, time.Now().Add(a.o.FirstByte))
}

// answer asks the registry, and then the origin. The response must begin before the given time.
func (a *Agent) answer(w http.ResponseWriter, r *http.Request, asked ask, until time.Time) {
	got, mirrorErr := a.fromRegistry(r, asked, until)
	source := sourceRegistry
	var originErr error
	if mirrorErr != nil && !errors.Is(mirrorErr, errBusy) && r.Context().Err() == nil { // otherwise no replica was asked, or the node is gone
		source = sourceOrigin
		got, originErr = a.fromOrigin(r, asked, until)
	}
	switch {
	case got != nil:
		a.counters.count(source)
		if err := got.relay(w, r.Method, a.o.Idle); err != nil {
			if r.Context().Err() == nil { // otherwise the node has given up
				a.o.Log.Info("Broke off serving an image", "image", asked.image.String(), "what", asked.what(), "source", source, "error", err.Error())
			}
			panic(http.ErrAbortHandler)
		}
	case r.Context().Err() != nil:
	case originErr == nil: // neither was asked
		a.counters.count(sourceFailed)
		refuse(w, http.StatusServiceUnavailable, "TOOMANYREQUESTS", mirrorErr.Error())
	default:
		a.fail(w, asked, mirrorErr, originErr)
	}
}

// fail responds with the reasons why neither the registry nor the origin has answered.
func (a *Agent) fail(w http.ResponseWriter, asked ask, mirrorErr, originErr error) {
	why := fmt.Sprintf("the cluster's registry: %s; %s: %s", mirrorErr, asked.image.Host, originErr)
	a.o.Log.Info("Could not serve an image", "image", asked.image.String(), "what", asked.what(), "registry", mirrorErr.Error(), "origin", originErr.Error())
	if errors.Is(originErr, errMissing) || errors.Is(originErr, registry.ErrDenied) {
		a.counters.count(sourceMissing)
		code := map[string]string{manifests: "MANIFEST_UNKNOWN", blobs: "BLOB_UNKNOWN"}[asked.kind]
		refuse(w, http.StatusNotFound, code, why)
		return
	}
	a.counters.count(sourceFailed)
	code := "UNAVAILABLE"
	if errors.Is(originErr, errBusy) {
		code = "TOOMANYREQUESTS"
	}
	refuse(w, http.StatusServiceUnavailable, code, why)
}

// verifies reports whether the answer is read into memory and verified before it is sent on.
func (a ask) verifies() bool { return a.kind == manifests && a.method == http.MethodGet }

// half returns a context that ends after half of the time that is left, so that the next step has the other half.
func half(ctx context.Context, until time.Time) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, time.Until(until)/2)
}

// fromRegistry waits for a turn and asks the replicas. Each of the two takes at most half of the time that is left. The
// turn ends when the answer is closed, or before the origin is asked.
func (a *Agent) fromRegistry(r *http.Request, asked ask, until time.Time) (*answer, error) {
	leave, err := a.enter(r.Context(), asked, until)
	if err != nil {
		return nil, err
	}
	got, err := a.replicas.ask(r.Context(), asked, onward(r, asked), time.Now().Add(time.Until(until)/2))
	if err != nil {
		leave()
		return nil, err
	}
	got.then(leave)
	return got, nil
}

// enter waits for a turn and, if the answer is verified, for a slot to read it into memory.
func (a *Agent) enter(ctx context.Context, asked ask, until time.Time) (func(), error) {
	ctx, cancel := half(ctx, until)
	defer cancel()
	leave, err := a.turns.enter(ctx)
	if err != nil || !asked.verifies() {
		return leave, err
	}
	forget, err := a.verified.enter(ctx)
	if err != nil {
		leave()
		return nil, err
	}
	return func() {
		forget()
		leave()
	}, nil
}

// fromOrigin waits for a turn of the origin and asks it.
func (a *Agent) fromOrigin(r *http.Request, asked ask, until time.Time) (*answer, error) {
	ctx, cancel := half(r.Context(), until)
	defer cancel()
	leave, err := a.turns.enterFor(ctx, asked.image.Host)
	if err != nil {
		return nil, err
	}
	got, err := a.origins.ask(r, asked, until)
	if err != nil {
		leave()
		return nil, err
	}
	got.then(leave)
	if asked.verifies() {
		if err := a.readManifest(r.Context(), got, asked, until); err != nil {
			got.close()
			return nil, err
		}
	}
	return got, nil
}

// readManifest waits for a slot to read a manifest into memory, which
// an origin has begun to send. It then reads and verifies the manifest.
func (a *Agent) readManifest(ctx context.Context, got *answer, asked ask, until time.Time) error {
	ctx, cancel := half(ctx, until)
	defer cancel()
	forget, err := a.verified.enterFor(ctx, asked.image.Host)
	if err != nil {
		return err
	}
	got.then(forget)
	return got.verify(asked, time.Until(until))
}

// onward returns the headers of a request that are forwarded. Logins are not among them.
func onward(r *http.Request, asked ask) http.Header {
	header := http.Header{}
	for _, name := range []string{"Accept", "Range"} {
		if v := r.Header.Values(name); len(v) > 0 && (name != "Range" || asked.kind == blobs) {
			header[name] = v
		}
	}
	return header
}

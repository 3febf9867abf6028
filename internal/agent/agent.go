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
	// Stall is in what time 64 KiB of what an origin sends have to come, while the agent waits for it: 30 seconds unless
	// given.
	Stall time.Duration
	// Requests is how many are answered at a time: 128 unless given, and at least 4. At most three quarters of them are
	// answered by origins, and at most half of these by one. Others wait for a part of FirstByte.
	Requests int64
	// Log gets what an administrator must know of. Default: nothing is logged.
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

// New makes an agent. It asks nothing.
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
		_, _ = w.Write([]byte("{}")) // who has gone does not read it
		return
	}
	asked, err := read(r)
	if err != nil {
		refuse(w, http.StatusNotFound, "NAME_UNKNOWN", err.Error())
		return
	}
	a.answer(w, r, asked, time.Now().Add(a.o.FirstByte))
}

// answer asks the registry, then the origin, until a time.
func (a *Agent) answer(w http.ResponseWriter, r *http.Request, asked ask, until time.Time) {
	got, mirrorErr := a.fromRegistry(r, asked, until)
	source := sourceRegistry
	var originErr error
	if mirrorErr != nil && !errors.Is(mirrorErr, errBusy) && r.Context().Err() == nil { // otherwise nobody was asked, or the node has gone
		source = sourceOrigin
		got, originErr = a.fromOrigin(r, asked, until)
	}
	switch {
	case got != nil:
		a.counters.count(source)
		if err := got.relay(w, r.Method, a.o.Idle); err != nil {
			if r.Context().Err() == nil { // otherwise the node has gone
				a.o.Log.Info("Broke off serving an image", "image", asked.image.String(), "what", asked.what(), "source", source, "error", err.Error())
			}
			panic(http.ErrAbortHandler)
		}
	case r.Context().Err() != nil:
	case originErr == nil: // nobody was asked
		a.counters.count(sourceFailed)
		refuse(w, http.StatusServiceUnavailable, "TOOMANYREQUESTS", mirrorErr.Error())
	default:
		a.fail(w, asked, mirrorErr, originErr)
	}
}

// fail says why neither the registry nor the origin has answered.
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

// verifies reports whether an answer is read into memory and verified before it goes on.
func (a ask) verifies() bool { return a.kind == manifests && a.method == http.MethodGet }

// half bounds a step by half of the time that is left, so that the next one has the other half.
func half(ctx context.Context, until time.Time) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, time.Until(until)/2)
}

// fromRegistry asks the replicas, in its turn, for at most half of the time that is left. The turn ends with the answer, or
// before the origin is asked.
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

// enter waits for a turn and, for what is verified, until it may be read into memory.
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

// fromOrigin asks the registry that the image is from, in the turn of that.
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

// readManifest waits until a manifest of an origin may be read into memory, which it has begun to send, and verifies it.
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

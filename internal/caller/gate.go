package caller

import (
	"context"
	"net/http"
	"sync"
	"time"

	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook"

	"github.com/nfo-operator/nfo/internal/batch"
)

const (
	// fresh is how long a reading is recent enough for a known path.
	fresh = 30 * time.Second
	// remembered is how long a path is still answered after it has left the configuration.
	remembered = 5 * time.Minute
	// pace is the minimum time between two reads.
	pace = 200 * time.Millisecond
	// readTimeout is the timeout of one read. It is shorter than the time for which the API server waits for an answer.
	readTimeout = 2 * time.Second
)

// Gate knows the paths at which the API server calls the webhooks. It is safe for concurrent use.
type Gate struct {
	o     Options
	reads batch.Reads[string, struct{}]

	mu   sync.Mutex
	had  map[string]time.Time // the paths, and when the configuration last had them
	read time.Time            // when the configuration was last read
}

// Options say where the webhooks are configured and served.
type Options struct {
	// Client reads from and writes to the API server itself, without a cache.
	Client client.Client
	// Configuration is the name of the ValidatingWebhookConfiguration. Mutating is
	// the name of a MutatingWebhookConfiguration, which need not exist; "" for none.
	Configuration, Mutating string
	// Deployment is the Deployment of the replicas that serve the webhooks.
	Deployment client.ObjectKey
	// Clock defaults to the real clock.
	Clock clock.Clock
}

// New returns a Gate that knows no path yet.
func New(o Options) *Gate {
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	return &Gate{o: o, had: map[string]time.Time{}}
}

// Server returns a webhook server whose hooks answer only at the paths that the Gate knows.
func (g *Gate) Server(s webhook.Server) webhook.Server { return &server{Server: s, gate: g} }

type server struct {
	webhook.Server
	gate *Gate
}

// Register serves a hook at its path, and at that path with a secret before it.
func (s *server) Register(path string, hook http.Handler) {
	guarded := s.gate.guard(hook)
	s.Server.Register(path, guarded)
	s.Server.Register("/{secret}"+path, guarded)
}

// guard answers requests of the API server. Other clients learn only that they are not the API server.
func (g *Gate) guard(hook http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		known, err := g.knows(r.Context(), r.URL.Path)
		switch {
		case known:
			hook.ServeHTTP(w, r)
		case err != nil:
			http.Error(w, "it cannot be read now who may ask; try again", http.StatusServiceUnavailable)
		default:
			http.Error(w, "only the API server may ask", http.StatusForbidden)
		}
	})
}

// knows reports whether the API server calls a webhook at a path.
// If the configuration cannot be read, a known path stays known.
func (g *Gate) knows(ctx context.Context, path string) (bool, error) {
	g.mu.Lock()
	known, enough := g.known(path), g.o.Clock.Since(g.read) < fresh
	g.mu.Unlock()
	if known && enough {
		return true, nil
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	if _, err := g.reads.Do(ctx, "", g.readPaths); err != nil {
		return known, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.known(path), nil
}

// known reports whether a path is answered. The caller must hold the lock.
func (g *Gate) known(path string) bool {
	last, had := g.had[path]
	return had && (last.Equal(g.read) || g.o.Clock.Since(last) < remembered)
}

// readPaths reads the paths, at least pace after the last read.
func (g *Gate) readPaths(ctx context.Context) (none struct{}, err error) {
	g.mu.Lock()
	wait := pace - g.o.Clock.Since(g.read)
	g.mu.Unlock()
	if wait > 0 {
		select {
		case <-ctx.Done():
			return none, ctx.Err()
		case <-g.o.Clock.After(wait):
		}
	}
	configurations, err := g.configurations(ctx)
	if err != nil {
		return none, err
	}
	g.learn(configurations)
	return none, nil
}

// learn records the paths of the configurations and forgets the paths that left them longer than remembered ago.
func (g *Gate) learn(configurations []configuration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.read = g.o.Clock.Now()
	for _, c := range configurations {
		for _, w := range c.webhooks {
			if path := askedAt(w); path != "" {
				g.had[path] = g.read
			}
		}
	}
	for path := range g.had {
		if !g.known(path) {
			delete(g.had, path)
		}
	}
}

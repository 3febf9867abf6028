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
	// fresh is for how long what was read is enough for a path that is known.
	fresh = 30 * time.Second
	// remembered is for how long a path is answered after the configuration had it last.
	remembered = 5 * time.Minute
	// pace is the least time between two reads.
	pace = 200 * time.Millisecond
	// lookLimit bounds one read, in less time than the API server waits for an answer.
	lookLimit = 2 * time.Second
)

// Gate knows the paths that the API server asks at. It is safe for concurrent use.
type Gate struct {
	o     Options
	reads batch.Reads[string, struct{}]

	mu   sync.Mutex
	had  map[string]time.Time // the paths, and when the configuration had them last
	read time.Time            // when it was read last
}

// Options are where the webhooks are configured and served from.
type Options struct {
	// Client reads and writes the API server itself, without a cache.
	Client client.Client
	// Configuration is the name of the ValidatingWebhookConfiguration, and Mutating that of a MutatingWebhookConfiguration
	// which need not exist; "" for none.
	Configuration, Mutating string
	// Deployment is that of the replicas that serve the webhooks.
	Deployment client.ObjectKey
	// Clock default: the real one.
	Clock clock.Clock
}

// New makes a Gate that knows no path yet.
func New(o Options) *Gate {
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	return &Gate{o: o, had: map[string]time.Time{}}
}

// Server is a webhook server whose hooks answer at the paths of the Gate alone.
func (g *Gate) Server(s webhook.Server) webhook.Server { return &server{Server: s, gate: g} }

type server struct {
	webhook.Server
	gate *Gate
}

// Register serves a hook at its path, and at that path behind a secret.
func (s *server) Register(path string, hook http.Handler) {
	guarded := s.gate.guard(hook)
	s.Server.Register(path, guarded)
	s.Server.Register("/{secret}"+path, guarded)
}

// guard answers what the API server asks. Others learn nothing but that they are not the API server.
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

// knows reports whether the API server asks at a path. A path that was known stays so while the configuration
// cannot be read.
func (g *Gate) knows(ctx context.Context, path string) (bool, error) {
	g.mu.Lock()
	known, enough := g.known(path), g.o.Clock.Since(g.read) < fresh
	g.mu.Unlock()
	if known && enough {
		return true, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	if _, err := g.reads.Do(ctx, "", g.look); err != nil {
		return known, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.known(path), nil
}

// known needs the lock.
func (g *Gate) known(path string) bool {
	last, had := g.had[path]
	return had && (last.Equal(g.read) || g.o.Clock.Since(last) < remembered)
}

// look reads the paths, not before the pace allows it.
func (g *Gate) look(ctx context.Context) (none struct{}, err error) {
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

// learn takes the paths from the configurations and forgets what they have not had for long.
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

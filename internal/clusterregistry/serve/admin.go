package serve

import (
	"context"
	"net/http"
	"time"

	"github.com/nfo-operator/nfo/internal/clusterregistry/access"
)

const adminPath = "/nfo/v1/"

// Usage is how full the volume is, in bytes.
type Usage struct {
	Size    int64   `json:"size"`
	Used    int64   `json:"used"`
	Free    int64   `json:"free"`
	Percent float64 `json:"percent"`
	// Refuses says why uploads are refused, or is empty if they are not.
	Refuses string `json:"refuses,omitempty"`
}

// admin serves the requests of operators and of the purges of this
// registry's stores. A purge names its store with ?store=NAMESPACE/NAME.
func (r *Registry) admin() http.Handler {
	routes := http.NewServeMux()
	routes.HandleFunc("GET "+adminPath+"usage", r.onVolume(r.usage))
	routes.HandleFunc("GET "+adminPath+"collection", r.onVolume(r.collectionState))
	routes.HandleFunc("POST "+adminPath+"collection", r.onVolume(r.startCollection))
	routes.HandleFunc("GET "+adminPath+"unreferenced", r.onVolume(r.listUnreferenced))
	routes.HandleFunc("DELETE "+adminPath+"unreferenced", r.onVolume(r.deleteUnreferenced))
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		operator := access.Operator{Everything: true}
		if r.o.Access != nil {
			var err error
			if operator, err = r.o.Access.Operates(req, req.URL.Query().Get("store")); err != nil {
				// access.Handler replaces this answer with its own.
				fail(w, http.StatusForbidden, "DENIED", err.Error())
				return
			}
		}
		routes.ServeHTTP(w, req.WithContext(context.WithValue(req.Context(), operatorKey{}, operator)))
	})
}

type operatorKey struct{}

// operatorOf returns the operator or purge that sent the request.
func operatorOf(req *http.Request) access.Operator {
	o, _ := req.Context().Value(operatorKey{}).(access.Operator)
	return o
}

// shown returns the part of the state that the client may see: a store's purge must not learn what is in other stores.
func (s State) shown(req *http.Request) State {
	if operatorOf(req).Everything {
		return s
	}
	if s.Error != "" {
		s.Error = "the collection failed; the log of the registry says why"
	}
	if s.Last != nil {
		last := *s.Last
		last.NotUnderstood = nil
		s.Last = &last
	}
	return s
}

func (r *Registry) usage(w http.ResponseWriter, _ *http.Request) {
	u, err := r.o.Volume.Usage()
	if err != nil {
		fail(w, http.StatusInternalServerError, "UNKNOWN", err.Error())
		return
	}
	answer(w, http.StatusOK, "application/json", Usage{
		Size: u.Size, Used: u.Used(), Free: u.Free, Percent: 100 * float64(u.Used()) / float64(max(u.Size, 1)), Refuses: r.o.Guard.refuses(u),
	})
}

func (r *Registry) collectionState(w http.ResponseWriter, req *http.Request) {
	s, err := r.collector.state(time.Now())
	if err != nil {
		fail(w, http.StatusInternalServerError, "UNKNOWN", err.Error())
		return
	}
	answer(w, http.StatusOK, "application/json", s.shown(req))
}

// startCollection answers 202 with the state. Its Requested is the number of the requested collection.
func (r *Registry) startCollection(w http.ResponseWriter, req *http.Request) {
	var asked request
	switch dry := req.URL.Query().Get("dryRun"); dry {
	case "", "false":
	case "true":
		asked.dryRun = true
	default:
		fail(w, http.StatusBadRequest, "UNSUPPORTED", "dryRun must be true or false")
		return
	}
	s, err := r.collector.ask(asked)
	if err != nil {
		fail(w, http.StatusInternalServerError, "UNKNOWN", err.Error())
		return
	}
	answer(w, http.StatusAccepted, "application/json", s.shown(req))
}

package serve

import (
	"net/http"
	"time"

	"github.com/distribution/distribution/v3/registry/auth"
)

const adminPath = "/nfo/v1/"

// operator is what a client must be allowed to see usage and to collect: as distribution names the list of all
// repositories.
var operator = auth.Access{Resource: auth.Resource{Type: "registry", Name: "catalog"}, Action: "*"}

// Usage is how full the volume is, in bytes.
type Usage struct {
	Size    int64   `json:"size"`
	Used    int64   `json:"used"`
	Free    int64   `json:"free"`
	Percent float64 `json:"percent"`
	// Refuses says why uploads are refused. Empty if they are not.
	Refuses string `json:"refuses,omitempty"`
}

// admin is what the operator asks the registry.
func (r *Registry) admin() http.Handler {
	routes := http.NewServeMux()
	routes.HandleFunc("GET "+adminPath+"usage", r.usage)
	routes.HandleFunc("GET "+adminPath+"collection", r.collectionState)
	routes.HandleFunc("POST "+adminPath+"collection", r.startCollection)
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if r.may(w, req, operator) {
			routes.ServeHTTP(w, req)
		}
	})
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

func (r *Registry) collectionState(w http.ResponseWriter, _ *http.Request) {
	s, err := r.collector.state(time.Now())
	if err != nil {
		fail(w, http.StatusInternalServerError, "UNKNOWN", err.Error())
		return
	}
	answer(w, http.StatusOK, "application/json", s)
}

// startCollection answers 202 with the state, whose number of requests says which collection the client has asked for.
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
	answer(w, http.StatusAccepted, "application/json", s)
}

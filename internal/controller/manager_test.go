package controller

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/nfo-operator/nfo/internal/chart"
	"github.com/nfo-operator/nfo/internal/purge/cronjob"
	"github.com/nfo-operator/nfo/internal/reference"
)

// refusing counts requests, and sends none.
type refusing struct{ requests *atomic.Int32 }

func (c refusing) RoundTrip(*http.Request) (*http.Response, error) {
	c.requests.Add(1)
	return nil, http.ErrServerClosed
}

// A manager is made with every controller before the API server
// is asked anything, and must know every kind that they watch.
func TestAManagerIsMadeOfEveryController(t *testing.T) {
	t.Parallel()
	scheme, err := reference.NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	mapper := apimeta.NewDefaultRESTMapper(nil)
	for kind := range scheme.AllKnownTypes() {
		if !strings.HasSuffix(kind.Kind, "List") {
			mapper.Add(kind, apimeta.RESTScopeNamespace)
		}
	}
	mapper.Add(reference.DefinitionKind, apimeta.RESTScopeRoot)
	charts, err := chart.NewReader(chart.Limits{}, 1, "none")
	if err != nil {
		t.Fatal(err)
	}
	var requests atomic.Int32
	kube := &rest.Config{Host: "https://127.0.0.1:1", Transport: refusing{&requests}}
	base := ctrl.Options{
		Metrics: metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0", Controller: config.Controller{SkipNameValidation: new(true)},
		MapperProvider: func(*rest.Config, *http.Client) (apimeta.RESTMapper, error) { return mapper, nil },
	}
	metrics := prometheus.NewRegistry()
	mgr, err := NewManager(t.Context(), kube, base, Options{Purger: cronjob.Settings{Image: "r.example.com/nfo:1"}, PollsPerSecond: 1, Charts: charts, Metrics: metrics, Watched: reference.Watched{"a"}})
	if err != nil {
		t.Fatal(err)
	}
	for kind := range scheme.AllKnownTypes() {
		if !mgr.GetScheme().Recognizes(kind) {
			t.Errorf("the manager does not know %s", kind)
		}
	}
	if n := requests.Load(); n > 0 {
		t.Errorf("%d requests were sent", n)
	}
	// A second manager of a process continues the metrics of the first.
	if _, err := NewManager(t.Context(), kube, base, Options{PollsPerSecond: 1, Charts: charts, Metrics: metrics}); err != nil {
		t.Errorf("a second manager: %v", err)
	}
}

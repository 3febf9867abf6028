package environment

import (
	"fmt"
	"net/http"
	"time"

	coordinationv1client "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/internal/chart"
	"github.com/nfo-operator/nfo/internal/livelist"
	"github.com/nfo-operator/nfo/internal/purge"
	"github.com/nfo-operator/nfo/internal/served"
	"github.com/nfo-operator/nfo/internal/workload"
)

// PurgeOf returns the configuration of an `nfo purge` of a store, under the account that
// the manager made for it. If not nil, through wraps the transport to the API server.
func (e *Environment) PurgeOf(store client.ObjectKey, through Transport) (purge.Config, error) {
	kube := e.As(purge.UserName(store))
	if through != nil {
		kube.Wrap(func(rt http.RoundTripper) http.RoundTripper { return through(rt) })
	}
	kube.Wrap(served.Wrap)
	cfg := purge.Config{Namespace: store.Namespace, Store: store.Name, AllowLoopback: true, Identity: fmt.Sprintf("%s-%d", store, time.Now().UnixNano())}
	api, err := client.New(kube, client.Options{Scheme: e.Client.Scheme()})
	if err != nil {
		return cfg, err
	}
	lists, err := livelist.NewClient(api, kube, nil)
	if err != nil {
		return cfg, err
	}
	cfg.Client = livelist.NewMemory(lists)
	httpClient, err := rest.HTTPClientFor(kube)
	if err != nil {
		return cfg, err
	}
	charts, err := chart.NewReader(chart.Limits{}, 1, e.chartCommand...)
	if err != nil {
		return cfg, err
	}
	workloads, err := workload.NewReader(kube, httpClient, charts, clock.RealClock{}, time.Now)
	if err != nil {
		return cfg, err
	}
	cfg.Workloads, cfg.Images = workloads.Read, workloads.ReadImages
	cfg.Secrets = purge.StoredSecrets(e.Client) // a pod would mount the Secret; the purge's account may not read Secrets
	cfg.Leases, err = coordinationv1client.NewForConfig(kube)
	return cfg, err
}

package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/nfo-operator/nfo/internal/apitime"
	"github.com/nfo-operator/nfo/internal/journal"
	"github.com/nfo-operator/nfo/internal/livelist"
	"github.com/nfo-operator/nfo/internal/purge/cronjob"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/served"
)

// NewManager makes a manager with every controller and the two probes. base has what the
// command line decides: addresses and leader election. NewManager sets its scheme and cache.
func NewManager(ctx context.Context, kube *rest.Config, base ctrl.Options, o Options) (manager.Manager, error) {
	scheme, err := reference.NewScheme()
	if err != nil {
		return nil, err
	}
	base.Scheme = scheme
	base.Cache.DefaultTransform, base.Cache.ByObject = lean, madeByUs(o.Watched)
	base.NewCache = newCache
	server := &apitime.Clock{}
	kube = rest.CopyConfig(kube)
	kube.Wrap(server.Wrap)
	kube.Wrap(served.Wrap)
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	o.written = newWritten(o.Clock)
	kube.Wrap(o.written.Wrap)
	o.now = func() time.Time { return server.At(o.Clock.Now()) }
	o = o.withDefaults()
	if o.journal, err = journal.New(o.Metrics); err != nil {
		return nil, err
	}
	mgr, err := ctrl.NewManager(kube, base)
	if err != nil {
		return nil, fmt.Errorf("making the manager: %w", err)
	}
	if err := setup(ctx, mgr, o); err != nil {
		return nil, fmt.Errorf("setting up a controller: %w", err)
	}
	ready := func(req *http.Request) error {
		if !mgr.GetCache().WaitForCacheSync(req.Context()) {
			return errors.New("the caches are not filled yet")
		}
		return nil
	}
	return mgr, errors.Join(mgr.AddHealthzCheck("ping", healthz.Ping), mgr.AddReadyzCheck("caches", ready))
}

// newCache makes a cache that fills from lists that are read as streams, as fast as the
// API server answers. A cache for several namespaces fills with client-go's own lists.
func newCache(kube *rest.Config, o cache.Options) (cache.Cache, error) {
	unlimited := rest.CopyConfig(kube)
	unlimited.QPS = -1 // the requests for each kind are made one after the other
	lists, err := livelist.New(nil, unlimited, o.HTTPClient, o.Scheme, o.Mapper, nil)
	if err != nil {
		return nil, err
	}
	switch in := slices.Collect(maps.Keys(o.DefaultNamespaces)); len(in) {
	case 0:
		o.NewInformer = lists.Informers("")
	case 1:
		o.NewInformer = lists.Informers(in[0])
	}
	return cache.New(kube, o)
}

// madeByUs keeps the cache small: of kinds that are not nfo's own, it has only the objects
// that the manager made, and the Jobs of its CronJobs, which have the same labels.
func madeByUs(w reference.Watched) map[client.Object]cache.ByObject {
	made := cache.ByObject{Label: labels.SelectorFromSet(cronjob.Labels()), Namespaces: cachedIn(w)}
	own := cache.ByObject{Label: labels.SelectorFromSet(labels.Set{"app.kubernetes.io/name": "nfo"})}
	cronJobs, jobs := made, made
	cronJobs.Transform, jobs.Transform = leanCronJob, leanJob
	return map[client.Object]cache.ByObject{
		&batchv1.CronJob{}: cronJobs, &batchv1.Job{}: jobs, &rbacv1.RoleBinding{}: made, &corev1.ServiceAccount{}: made,
		reference.BlankDefinition(): own,
	}
}

package chart

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/opencontainers/go-digest"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/backend"
	"github.com/nfo-operator/nfo/internal/chart"
	"github.com/nfo-operator/nfo/internal/controller/pass"
	"github.com/nfo-operator/nfo/internal/inventory"
	"github.com/nfo-operator/nfo/internal/lane"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/registry"
)

// Reconciler reads the charts of ArtifactManifests, one at a time, and writes nothing: the manifest reconciler takes
// the readings and reports them. The two are separate so that no chart, however slow to read, delays a deletion.
type Reconciler struct {
	client.Client
	// Live reads definitions that the cache has shortened.
	Live       client.Reader
	Holders    *reference.Finder
	Registries *backend.Registries
	Reader     *chart.Reader
	Readings   *Readings
	// Wake makes the manifest reconciler run a pass over a manifest.
	Wake chan<- event.GenericEvent
	Lane *lane.Lane
}

// Reconcile reads the charts of one manifest that have not been read in the ways in which they are deployed now.
func (r *Reconciler) Reconcile(ctx context.Context, m *v1alpha1.ArtifactManifest) (ctrl.Result, error) {
	todo, err := r.unread(ctx, m)
	if err != nil || len(todo) == 0 {
		return pass.Finish(ctrl.Result{}, err)
	}
	var store v1alpha1.ArtifactStore
	if err := r.Get(ctx, client.ObjectKey{Namespace: m.Namespace, Name: m.Spec.ArtifactStoreRef.Name}, &store); client.IgnoreNotFound(err) != nil {
		return pass.Finish(ctrl.Result{}, fmt.Errorf("reading store %s: %w", m.Spec.ArtifactStoreRef.Name, err))
	}
	if store.UID == "" || backend.Inert(&store) != nil {
		return ctrl.Result{}, nil // an event of the store wakes the manifest
	}
	var trouble error
	for _, i := range rand.Perm(len(todo)) { // in random order, so that a chart that cannot be read does not keep the others from being read
		c := todo[i]
		leave, wait := r.Lane.Enter(&store, m.UID)
		if leave == nil {
			return ctrl.Result{RequeueAfter: wait}, nil
		}
		read, err := r.read(ctx, &store, c)
		leave()
		trouble = cmp.Or(trouble, err)
		r.Readings.put(m.UID, read, err == nil, trouble)
		select {
		case r.Wake <- event.GenericEvent{Object: m}:
		case <-ctx.Done():
			return pass.Finish(ctrl.Result{}, ctx.Err())
		}
	}
	return pass.Finish(ctrl.Result{}, trouble)
}

// Forget drops the readings of a manifest that no longer exists.
func (r *Reconciler) Forget(uid types.UID) { r.Readings.Forget(uid) }

// unread finds the charts of a manifest for which neither its status nor the readings have an up-to-date reading.
func (r *Reconciler) unread(ctx context.Context, m *v1alpha1.ArtifactManifest) ([]chartToRead, error) {
	var charts []v1alpha1.ArtifactStatus
	if m.DeletionTimestamp.IsZero() {
		charts = chartsOf(m)
	}
	if len(charts) == 0 {
		r.Readings.Forget(m.UID)
		return nil, nil
	}
	deployed, err := r.deployed(ctx, m)
	if err != nil {
		return nil, err
	}
	have := r.Readings.Get(m.UID).Over(m.Status.Charts)
	var todo []chartToRead
	for _, a := range charts {
		c := deployed.chart(a)
		if was, known := have[inventory.KeyOf(a)]; !known || !c.upToDate(was, r.Reader) {
			todo = append(todo, c)
		}
	}
	return todo, nil
}

// chartsOf returns the charts that a manifest lists and that are in the registry.
func chartsOf(m *v1alpha1.ArtifactManifest) []v1alpha1.ArtifactStatus {
	listed := map[inventory.Entry]bool{}
	for _, a := range m.Spec.Artifacts {
		listed[inventory.Entry{Name: a.ArtifactName, Version: a.ArtifactVersion}] = true
	}
	var charts []v1alpha1.ArtifactStatus
	for _, a := range m.Status.Artifacts {
		if listed[inventory.KeyOf(a)] && a.ConfigMediaType == chart.ConfigMediaType && a.Digest != "" {
			charts = append(charts, a)
		}
	}
	return charts
}

// read reads a chart with each of its profiles. An error says nothing about the chart, which can be read again.
func (r *Reconciler) read(ctx context.Context, s *v1alpha1.ArtifactStore, c chartToRead) (v1alpha1.ChartStatus, error) {
	reg, err := r.Registries.Open(ctx, s)
	if err != nil {
		return c.ChartStatus, err
	}
	archive, err := chartArchive(ctx, reg, c.repository, digest.Digest(c.Digest))
	switch {
	case errors.Is(err, errNoChart):
		return c.with([]answer{{err: err}}, r.Reader.Revision(false)), nil
	case err != nil: // the registry may return the chart, undamaged, a moment later
		return c.ChartStatus, fmt.Errorf("fetching chart %s:%s: %w", c.ArtifactName, c.ArtifactVersion, err)
	}
	var answers []answer
	limited := false
	for _, p := range c.profiles {
		read, err := r.Reader.Read(ctx, chart.Request{
			Archive: archive, RegistryValuesPaths: p.registryPaths, ImagePullSecretsValuesPaths: p.secretPaths,
		})
		if err != nil && !chart.AboutChart(err) {
			return c.ChartStatus, fmt.Errorf("reading chart %s:%s: %w", c.ArtifactName, c.ArtifactVersion, err)
		}
		limited = limited || read.Limited
		answers = append(answers, answerOf(p, read, reg.Location(), err))
	}
	return c.with(answers, r.Reader.Revision(limited)), nil
}

// errNoChart says that the image manifest, completely read, is not that of a chart.
var errNoChart = errors.New("not a chart")

// chartArchive fetches a chart as Helm pushes it. Only errNoChart says something about the stored artifact.
func chartArchive(ctx context.Context, reg *registry.Client, repository string, d digest.Digest) ([]byte, error) {
	m, err := reg.Manifest(ctx, repository, d)
	if err != nil {
		return nil, err
	}
	for _, b := range m.Blobs {
		if b.MediaType == chart.ContentMediaType {
			return reg.Blob(ctx, repository, b.Digest, chart.MaxBytes)
		}
	}
	return nil, fmt.Errorf("reading %s@%s: %w: it has no layer of type %s", repository, d, errNoChart, chart.ContentMediaType)
}

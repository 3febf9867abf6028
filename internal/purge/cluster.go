package purge

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/purge/plan"
	"github.com/nfo-operator/nfo/internal/purge/reading"
)

// read reads the cluster, and what the workloads run if the store selects any.
func (cfg Config) read(ctx context.Context, key client.ObjectKey) (plan.Cluster, error) {
	c, err := cfg.readCluster(ctx, key, reading.Running{})
	if err != nil || c.Store == nil || c.Store.Spec.Workloads == nil || c.Store.Spec.Mirror != nil {
		return c, err
	}
	run, err := cfg.readRunning(ctx, c.Store)
	if err != nil {
		return plan.Cluster{}, err
	}
	return cfg.readCluster(ctx, key, run)
}

// readCluster reads the cluster, uncached, and adds what was read of its workloads.
func (cfg Config) readCluster(ctx context.Context, key client.ObjectKey, run reading.Running) (plan.Cluster, error) {
	objects, err := reading.ReadObjects(ctx, cfg.Client, cfg.Clock, cfg.Now, key, run)
	if err != nil {
		return plan.Cluster{}, err
	}
	c := plan.NewCluster(objects)
	if cfg.acts && c.Refusal == nil && c.Store.Spec.Purge.DryRun { // (I8)
		c.Refusal = fmt.Errorf("%w: spec.purge.dryRun was set while the purge ran; run it again for what a purge would do", ErrRefused)
	}
	return c, nil
}

// readRunning reads what the workloads run that the store selects.
func (cfg Config) readRunning(ctx context.Context, store *v1alpha1.ArtifactStore) (reading.Running, error) {
	r := reading.Running{Begun: cfg.Clock.Now(), Generation: store.Generation}
	if store.Spec.Workloads == nil {
		return r, nil
	}
	if cfg.Workloads == nil {
		return r, fmt.Errorf("%w: %s: this program does not read what workloads run", ErrRefused, v1alpha1.ReasonWorkloadsUnreadable)
	}
	var err error
	if r.Reading, err = cfg.Workloads(ctx, store); err != nil {
		return r, fmt.Errorf("reading what workloads run: %w", err)
	}
	if err := r.Unreadable(); err != nil {
		return r, fmt.Errorf("%w: %s: %w", ErrRefused, v1alpha1.ReasonWorkloadsUnreadable, err)
	}
	return r, nil
}

package purge

import (
	"context"
	"errors"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/purge/mirror"
	"github.com/nfo-operator/nfo/internal/purge/plan"
	"github.com/nfo-operator/nfo/internal/purge/reading"
)

// runMirror purges the mirror, whose content belongs to Artifacts and not to manifests.
func (cfg Config) runMirror(ctx context.Context, c plan.Cluster, reg Registry, report *Report) error {
	if err := mirror.Refuse(c); err != nil {
		return err
	}
	key := client.ObjectKeyFromObject(c.Store)
	if report.DryRun {
		p, err := mirror.Decide(ctx, cfg.mirrorEnv(key, c.Store, reg), c)
		if err != nil {
			return err
		}
		return report.concludeMirror(c.Store, p, nil)
	}
	cfg.acts = true
	return cfg.lease(key).hold(ctx, func(ctx context.Context) error { return cfg.purgeMirror(ctx, c.Store, reg, report) })
}

// purgeMirror makes a new plan under the Lease, carries it out, and records the run.
func (cfg Config) purgeMirror(ctx context.Context, store *v1alpha1.ArtifactStore, reg Registry, report *Report) error {
	c, err := cfg.readAgain(ctx, store)
	if err != nil {
		return err
	}
	env := cfg.mirrorEnv(client.ObjectKeyFromObject(store), c.Store, reg)
	p, err := mirror.Decide(ctx, env, c)
	if err != nil {
		return err
	}
	result, err := p.Act(ctx, env)
	err = report.concludeMirror(c.Store, p, err)
	asked := cfg.askToCollect(ctx, reg, c.Store, p.Usage, report, result.Doubt)
	noted := func(s *v1alpha1.ArtifactStoreStatus) { s.Unneeded = p.Unneeded() }
	return errors.Join(err, cfg.record(ctx, c.Store, *report, learnt(result.Over, result.Deleted), noted), cfg.awaitCollection(ctx, asked, report))
}

func (cfg Config) mirrorEnv(key client.ObjectKey, store *v1alpha1.ArtifactStore, reg Registry) mirror.Env {
	return mirror.Env{
		Client: cfg.Client, Registry: reg, Reader: reading.NewReader(reg, cfg.Clock, requests(store)), Now: cfg.Now, Volume: cfg.Volume, Log: cfg.Log,
		ReadCluster: func(ctx context.Context) (plan.Cluster, error) { return cfg.read(ctx, key) }, Images: cfg.Images,
	}
}

// concludeMirror completes the report after a plan of the mirror,
// which was carried out with err. It returns why the purge failed.
func (r *Report) concludeMirror(store *v1alpha1.ArtifactStore, p *mirror.Plan, err error) error {
	r.judged(p.Verdicts())
	could := p.Reclaimable()
	if r.Reclaimed = could; !r.DryRun {
		r.Reclaimed = p.Reclaimed()
	}
	return r.end(store, p.Usage, could, errors.Join(p.Err, err))
}

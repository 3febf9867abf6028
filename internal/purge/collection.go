package purge

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/purge/usage"
	"github.com/nfo-operator/nfo/internal/registry"
)

const (
	usualPoll = 2 * time.Second
	usualTell = 10 * time.Second
)

// collection is a collection that a purge asked the cluster's own registry for.
type collection struct {
	registry Registry
	store    *v1alpha1.ArtifactStore
	number   int64 // 0 if the registry was not asked for one
	// message is the message that the report had before the purge asked.
	message string
}

// askToCollect asks the cluster's own registry for a collection if this purge, or an earlier
// one that could not ask, has deleted anything. It also asks if the purge was asked to stop. A
// failure to ask is reported, but does not fail the purge, because the deletions succeeded. It
// does not ask while there is a doubt, because a deletion can be undone until a collection.
func (cfg Config) askToCollect(ctx context.Context, reg Registry, store *v1alpha1.ArtifactStore, u usage.Measurement, report *Report, doubt error) collection {
	c := collection{registry: reg, store: store, message: report.Message}
	if !store.InClusterRegistry() || (report.Deleted == 0 && !u.Owed) {
		return c
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	var state registry.Collection
	err := doubt
	if err == nil {
		state, err = reg.Collect(ctx, client.ObjectKeyFromObject(store))
	}
	if c.number = state.Requested; err != nil {
		cfg.Log.Warn("The registry was not asked to collect", "error", err)
		report.add(c.message, notFreed(err))
	} else {
		cfg.Log.Info("Asked the registry to collect", "collection", c.number)
		report.add(c.message, "The registry was asked to collect, which frees the disk.")
	}
	if report.Usage != nil && u.Source == v1alpha1.UsageRegistry {
		report.Usage.Collection = c.number
	}
	return c
}

// notFreed says why the disk may still be as full as before.
func notFreed(err error) string {
	return fmt.Sprintf("The disk may not be freed yet: %s.", strings.TrimSuffix(v1alpha1.Clip(oneLine(err), maxMessage/2), "."))
}

// add sets the message of a report to message and a sentence, unless the report says why the purge failed.
func (r *Report) add(message, sentence string) {
	if r.Outcome != v1alpha1.PurgeSucceeded && r.Outcome != v1alpha1.PurgeBelowThreshold {
		return
	}
	if message != "" {
		message = strings.TrimSuffix(message, ".") + ". "
	}
	r.Message = strings.TrimSpace(message + sentence)
}

// awaitCollection waits until the collection ends, if the purge is configured to, and
// records how many bytes it freed. It is called under the Lease, because another purge
// would measure a disk that is about to be freed. An error means that recording failed.
func (cfg Config) awaitCollection(ctx context.Context, c collection, report *Report) error {
	if c.number == 0 || cfg.WaitForCollection <= 0 {
		return nil
	}
	state, err := cfg.await(ctx, c)
	if err != nil {
		cfg.Log.Warn("The registry's collection is not known to have freed the disk", "collection", c.number, "error", err)
		report.add(c.message, notFreed(err))
	} else {
		report.add(c.message, "")
		cfg.Log.Info("The registry has collected", "collection", c.number, "freedBytes", state.Freed)
		if !state.DryRun { // a collection that was asked for later may be a dry run
			report.Freed = &state.Freed
		}
		cfg.measureAgain(ctx, c, report)
	}
	return cfg.recordCollection(ctx, c.store, *report)
}

// measureAgain measures the disk after a collection. If it cannot, the usage stays as it was measured before.
func (cfg Config) measureAgain(ctx context.Context, c collection, report *Report) {
	if report.Usage == nil || report.Usage.Source != v1alpha1.UsageRegistry {
		return
	}
	after, err := usage.Remeasure(ctx, c.registry, c.store, *report.Usage, cfg.Now)
	if err != nil {
		cfg.Log.Warn("The registry does not say how full it is after its collection", "error", err)
		return
	}
	report.Usage = after
}

// await polls until the collection has ended or the time is over. It continues while the registry cannot be reached.
func (cfg Config) await(ctx context.Context, c collection) (registry.Collection, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, cfg.WaitForCollection, fmt.Errorf("it has not ended after %s", cfg.WaitForCollection))
	defer cancel()
	reported := time.Now()
	var failed error // the last error of polling
	for {
		state, err := c.registry.Collection(ctx, client.ObjectKeyFromObject(c.store))
		switch {
		case err == nil && state.Done >= c.number && state.Failed != "":
			return state, fmt.Errorf("the registry's collection failed: %s", strings.TrimSuffix(state.Failed, "."))
		case err == nil && state.Done >= c.number:
			return state, nil
		case errors.Is(err, registry.ErrDenied), errors.Is(err, registry.ErrUnsupported), errors.Is(err, registry.ErrCredentials):
			return state, fmt.Errorf("the end of the registry's collection is not known: %w", err)
		}
		if ctx.Err() == nil {
			failed = err
		}
		if time.Since(reported) >= cfg.tell {
			reported = time.Now()
			cfg.Log.Info("Waiting for the registry's collection", "collection", c.number, "phase", state.Phase, "done", state.Count, "error", err)
		}
		select {
		case <-time.After(cfg.poll):
		case <-ctx.Done():
			return state, fmt.Errorf("the purge no longer waits for the registry's collection, which goes on: %w", errors.Join(context.Cause(ctx), failed))
		}
	}
}

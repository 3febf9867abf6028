package sweep

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/internal/graph"
	"github.com/nfo-operator/nfo/internal/purge/plan"
	"github.com/nfo-operator/nfo/internal/purge/reading"
	"github.com/nfo-operator/nfo/internal/registry"
)

const (
	// maxEvidence is the greatest age of a reading that a deletion may rely on (I3).
	maxEvidence = 5 * time.Second
	// freshEvidence is the greatest age of evidence at which a deletion begins, so that it can end within maxEvidence.
	freshEvidence = 4 * time.Second
)

var (
	errSlow        = fmt.Errorf("%w: the repository cannot be read within 5s", registry.ErrUnreadable)
	errSlowCluster = fmt.Errorf("%w: the API server does not list the objects of the namespace fast enough to read the repository within 5s", registry.ErrUnreadable)
	errUnsteady    = fmt.Errorf("%w: the registry listed no tags, and then some", registry.ErrUnreadable)
)

// evidence is what a deletion relies on: the verdicts by a recent reading of the cluster and of the repository.
type evidence struct {
	begun    time.Time
	graph    *graph.Graph
	verdicts map[digest.Digest]plan.Verdict
}

// evidence returns the last evidence while it is fresh. Otherwise it
// reads again: first the cluster, then the tags and what they lead to.
func (v *visit) evidence(ctx context.Context) (*evidence, error) {
	if e := v.latest; e != nil && v.clock.Since(e.begun) < freshEvidence {
		return e, nil
	}
	v.latest = nil
	ctx, cancel := context.WithTimeoutCause(ctx, maxEvidence, errSlow)
	defer cancel()
	c, err := v.clusterOf(ctx, v.manifestOf(v.repository), v.claimed)
	var r reading.Repository
	if err == nil {
		r = v.reader.Read(ctx, v.repository, c.Starts(v.repository))
		err = r.Err
	}
	if err == nil {
		err = errors.Join(v.confirmUntagged(ctx, r), v.reader.ConfirmAbsent(ctx, v.repository, v.readings[v.repository]))
	}
	slow := errors.Is(context.Cause(ctx), errSlow) || (err == nil && v.clock.Since(c.Begun) >= freshEvidence)
	switch {
	case slow && (c == nil || c.ended.Sub(c.Begun) > maxEvidence/2):
		return nil, errSlowCluster
	case slow:
		return nil, errSlow
	case err != nil:
		return nil, err
	}
	r.Unreferenced = v.readings[v.repository].Unreferenced // the registry checks this again when it deletes
	v.latest = &evidence{begun: c.Begun, graph: r.Graph, verdicts: map[digest.Digest]plan.Verdict{}}
	for _, verdict := range c.DecideRepository(v.repository, r) {
		v.latest.verdicts[verdict.Digest] = verdict
	}
	return v.latest, nil
}

// confirmUntagged lists the tags of a repository again if the first list had no ordinary tag. No other answer
// can contradict such a list, and it is the usual list of a repository in which a digest may be deleted.
func (v *visit) confirmUntagged(ctx context.Context, r reading.Repository) error {
	if len(r.Graph.Tags()) > 0 {
		return nil
	}
	names, err := v.reader.Names(ctx, v.repository)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(names, func(tag string) bool { return r.Graph.Target(tag) == "" }) {
		return errUnsteady
	}
	return nil
}

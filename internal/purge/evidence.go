package purge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/graph"
	"github.com/nfo-operator/nfo/internal/registry"
)

const (
	// maxEvidence is the age up to which what was read may be acted on (I3).
	maxEvidence = 5 * time.Second
	// freshEvidence is the age up to which a deletion is begun, so that it has time to end.
	freshEvidence = 4 * time.Second
	// sharedCluster is the age up to which one reading of the cluster serves several repositories.
	sharedCluster = time.Second
)

var (
	errSlow     = fmt.Errorf("%w: the repository cannot be read within 5s", registry.ErrUnreadable)
	errUnsteady = fmt.Errorf("%w: the registry listed no tags, and then some", registry.ErrUnreadable)
)

// evidence is what a deletion stands on.
type evidence struct {
	repository string
	begun      time.Time
	graph      *graph.Graph
	verdicts   map[digest.Digest]Verdict
}

// evidence returns the last evidence of a repository while it is fresh, and else reads again:
// the cluster first, then tags and what they lead to.
func (s *sweeper) evidence(ctx context.Context, repository string) (*evidence, error) {
	if e := s.latest; e != nil && e.repository == repository && s.clock.Since(e.begun) < freshEvidence {
		return e, nil
	}
	s.latest = nil
	ctx, cancel := context.WithTimeoutCause(ctx, maxEvidence, errSlow)
	defer cancel()
	c, err := s.clusterOf(ctx, s.manifestOf(repository))
	var r reading
	if err == nil {
		r = s.reader.read(ctx, repository, c.starts(repository))
		err = r.err
	}
	if err == nil {
		err = s.confirmUntagged(ctx, repository, r)
	}
	switch {
	case errors.Is(context.Cause(ctx), errSlow), err == nil && s.clock.Since(c.begun) >= freshEvidence:
		return nil, errSlow
	case err != nil:
		return nil, err
	}
	e := &evidence{repository: repository, begun: c.begun, graph: r.graph, verdicts: map[digest.Digest]Verdict{}}
	for _, v := range c.planRepository(repository, r) {
		e.verdicts[v.Digest] = v
	}
	s.latest = e
	return e, nil
}

// confirmUntagged lists the tags of a repository again if it seems to have no ordinary one. That is the
// one answer which cannot be compared with another, and the usual one where a digest may go.
func (s *sweeper) confirmUntagged(ctx context.Context, repository string, r reading) error {
	if len(r.graph.Tags()) > 0 {
		return nil
	}
	names, err := s.reader.names(ctx, repository)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(names, func(tag string) bool { return r.graph.Target(tag) == "" }) {
		return errUnsteady
	}
	return nil
}

// clusterOf is cluster, with a look by its name at the manifest that keeps what is in one of its repositories.
// One that is not listed may have been applied just then, so the cluster is read once more.
func (s *sweeper) clusterOf(ctx context.Context, manifest string) (cluster, error) {
	c, err := s.cluster(ctx)
	if err != nil || c.asked[manifest] {
		return c, err
	}
	err = c.unlisted(ctx, s.api, s.key.Namespace, manifest)
	if errors.Is(err, errContradiction) {
		s.shared = nil
		if c, err = s.cluster(ctx); err == nil {
			err = c.unlisted(ctx, s.api, s.key.Namespace, manifest)
		}
	}
	if err == nil {
		c.asked[manifest] = true
	}
	return c, err
}

// cluster reads the cluster, unless it was read just now. Entries that are not claimed keep.
func (s *sweeper) cluster(ctx context.Context) (cluster, error) {
	if s.shared == nil || s.clock.Since(s.shared.begun) >= sharedCluster {
		c, err := readCluster(ctx, s.api, s.clock, s.now, s.key)
		if err != nil {
			return cluster{}, err
		}
		s.mu.Lock()
		c.lose(func(e entry) bool { return s.claims[claimOf(e)] && e.status.State == v1alpha1.TombstoneSweeping })
		s.mu.Unlock()
		s.shared = &c
	}
	return *s.shared, s.shared.refusal
}

package sweep

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/purge/plan"
	"github.com/nfo-operator/nfo/internal/purge/reading"
)

const (
	// shareTime is how long a reading of the cluster serves several repositories after its end.
	shareTime = time.Second
	// maxShared is the greatest age at which it does. What is read of a repository by it must be deleted within maxEvidence.
	maxShared = 3 * time.Second
)

// view is a reading of the cluster.
type view struct {
	plan.Cluster
	// ended is when the reading ended, by this host's clock.
	ended time.Time
	// asked has the names of the manifests that were also read by name.
	asked *questions
}

// moment is a point in time between two readings of the cluster, and between two readings of what workloads run.
type moment struct{ cluster, running int }

// mark returns the current moment. Readings that begin later are after it.
func (s *sweeper) mark() moment { return moment{s.shared.Mark(), s.running.Mark()} }

// cluster returns a reading of the cluster that began after a moment: the last one for shareTime, or
// a new one. Entries that are not claimed keep their digests.
func (s *sweeper) cluster(ctx context.Context, after moment) (*view, error) {
	run, err := s.runs(ctx, after.running, maxRunning)
	if err != nil {
		return nil, err
	}
	fresh := func(c *view) bool {
		return s.clock.Since(c.ended) < shareTime && s.clock.Since(c.Begun) < maxShared && !run.Newer(c.Running)
	}
	c, err := s.shared.Read(ctx, after.cluster, fresh, func() (*view, error) {
		now, readErr := s.readCluster(ctx, run)
		if readErr == nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			now.KeepUnless(func(e plan.Entry) bool { return s.claims[claimOf(e)] && e.Status.State == v1alpha1.TombstoneSweeping })
		}
		return &view{Cluster: now, ended: s.clock.Now(), asked: &questions{names: map[string]bool{}}}, readErr
	})
	if err == nil {
		err = c.Refusal
	}
	return c, err
}

// clusterOf is cluster, and also reads by name the manifest that owns the repository to be deleted
// from. A manifest that is not listed may just have been applied, so the cluster is then read again.
func (s *sweeper) clusterOf(ctx context.Context, manifest string, after moment) (*view, error) {
	c, err := s.cluster(ctx, after)
	if err != nil {
		return c, err
	}
	err = s.ask(ctx, c, manifest)
	if errors.Is(err, reading.ErrContradiction) {
		if c, err = s.cluster(ctx, moment{s.shared.Mark(), after.running}); err == nil {
			err = s.ask(ctx, c, manifest)
		}
	}
	return c, err
}

// ask returns an error if a manifest exists that a reading of the cluster does
// not contain. Each name is asked for once for all repositories of the manifest.
func (s *sweeper) ask(ctx context.Context, c *view, manifest string) error {
	if c.asked.has(manifest) {
		return nil
	}
	answer := c.asked.DoChan(manifest, func() (any, error) {
		if c.asked.has(manifest) { // another caller has just asked
			return nil, nil //nolint:nilnil // no answer but the error
		}
		own, cancel := context.WithTimeout(context.WithoutCancel(ctx), maxEvidence) // not ctx, because other callers wait for the answer too
		defer cancel()
		err := unlisted(own, s.api, c, s.key.Namespace, manifest)
		if err == nil {
			c.asked.add(manifest)
		}
		return nil, err
	})
	select {
	case a := <-answer:
		return a.Err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// unlisted returns an error if a manifest exists that was not listed, because what it keeps is unknown (I2).
func unlisted(ctx context.Context, api client.Reader, c *view, namespace, name string) error {
	var m v1alpha1.ArtifactManifest
	err := api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &m)
	switch {
	case apierrors.IsNotFound(err), err == nil && c.Lists(m.UID):
		return nil
	case err != nil:
		return fmt.Errorf("reading manifest %s/%s: %w", namespace, name, err)
	}
	return fmt.Errorf("%w: manifest %s/%s exists and is not listed", reading.ErrContradiction, namespace, name)
}

// questions has the names that were asked for, and runs each question once at a time. It is safe for concurrent use.
type questions struct {
	singleflight.Group

	mu    sync.Mutex
	names map[string]bool
}

func (q *questions) has(name string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.names[name]
}

func (q *questions) add(name string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.names[name] = true
}

package mirrored

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/rewrite"
)

const (
	// agentsEvery is the interval between two reads of the agents' DaemonSet, and agentsLimit the timeout of each.
	agentsEvery = 5 * time.Second
	agentsLimit = 5 * time.Second
)

// Agents knows whether the agent of any node is ready. It runs in every replica.
type Agents struct {
	// Live reads directly from the API server.
	Live client.Reader
	// Namespace is the namespace of the manager, which contains the agents.
	Namespace string
	// Rules returns the rules of Facts.
	Rules func(context.Context) (rewrite.Rules, error)

	reachable atomic.Bool
}

// None reports whether pods would need an agent and none is ready, as of the last read. It is also true until the first
// read, and while the rules never rewrite pods. For a nil *Agents it is false.
func (a *Agents) None() bool { return a != nil && !a.reachable.Load() }

// NeedLeaderElection is false: every replica serves the webhook.
func (a *Agents) NeedLeaderElection() bool { return false }

// Start reads the DaemonSet at intervals until ctx ends. Errors are
// logged, and the previous result is used until a read succeeds.
func (a *Agents) Start(ctx context.Context) error {
	err := wait.PollUntilContextCancel(ctx, agentsEvery, true, func(ctx context.Context) (bool, error) {
		if err := a.read(ctx); err != nil && ctx.Err() == nil {
			log.FromContext(ctx).Error(err, "Reading whether the agents of the nodes are ready")
		}
		return false, nil
	})
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// read reads the DaemonSet only if the rules rewrite pods whose images the mirror has. If
// there is no DaemonSet, nodes need no agent when the address is that of the registry
// itself. Without permission to read the DaemonSet, the agents count as ready.
func (a *Agents) read(ctx context.Context) error {
	r, err := a.Rules(ctx)
	if err != nil {
		return err
	}
	if policy := r.Policy(); policy != v1alpha1.RewritePresent {
		a.reachable.Store(policy == v1alpha1.RewriteAlways)
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, agentsLimit)
	defer cancel()
	d := &appsv1.DaemonSet{}
	err = a.Live.Get(ctx, client.ObjectKey{Namespace: a.Namespace, Name: v1alpha1.AgentName}, d)
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsForbidden(err) {
		return fmt.Errorf("reading DaemonSet %s/%s: %w", a.Namespace, v1alpha1.AgentName, err)
	}
	direct := strings.Contains(r.Address(), "/"+v1alpha1.MirrorPrefix)
	reachable := d.Status.NumberReady > 0 || apierrors.IsForbidden(err) || apierrors.IsNotFound(err) && direct
	if a.reachable.Swap(reachable) != reachable {
		log.FromContext(ctx).Info("The agents of the nodes have changed: while none is ready, new pods pull from the source", "ready", d.Status.NumberReady)
	}
	return nil
}

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
	// agentsEvery is how often the DaemonSet of the agents is read, and agentsLimit bounds one reading.
	agentsEvery = 5 * time.Second
	agentsLimit = 5 * time.Second
)

// Agents knows whether any node has an agent that is ready. It runs in every replica.
type Agents struct {
	// Live reads the API server itself.
	Live client.Reader
	// Namespace is the manager's, in which the agents are.
	Namespace string
	// Rules are those of Facts.
	Rules func(context.Context) (rewrite.Rules, error)

	reachable atomic.Bool
}

// None reports whether the nodes have agents, and none of these is ready, as it was read a few seconds ago; also until it
// has been read. A nil *Agents knows of none that is missing.
func (a *Agents) None() bool { return a != nil && !a.reachable.Load() }

// NeedLeaderElection is false: every replica serves the webhook.
func (a *Agents) NeedLeaderElection() bool { return false }

// Start reads until ctx ends. What fails is logged and tried again, and what was known before counts until then.
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

// read asks only if the rules would change pods that the mirror has the images of. Without the DaemonSet, nodes need no
// agent if it is the registry that answers at the address. Without the right to read it, nobody says that one is missing.
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

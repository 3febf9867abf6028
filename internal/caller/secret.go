package caller

import (
	"context"
	"crypto/rand"
	"fmt"
	"regexp"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// interval is how often is looked whether all paths have a secret.
const interval = time.Minute

// secretPath is a path with a secret, of the letters of rand.Text.
var secretPath = regexp.MustCompile(`^/([a-z2-7]{26,})(/.*)$`)

// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=validatingwebhookconfigurations,resourceNames=nfo-validating,verbs=get;patch
// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=mutatingwebhookconfigurations,resourceNames=nfo-pods,verbs=get;patch
// +kubebuilder:rbac:groups=apps,namespace=nfo-system,resources=deployments,resourceNames=nfo-manager,verbs=get

// Start sees to it that all paths have a secret, until ctx ends. One replica does so: it needs the lease.
func (g *Gate) Start(ctx context.Context) error {
	wait.UntilWithContext(ctx, func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, interval)
		defer cancel()
		if err := g.hide(ctx); err != nil && !apierrors.IsConflict(err) {
			log.FromContext(ctx).Error(err, "The webhooks answer at paths that are no secret; trying again in a minute")
		}
	}, interval)
	return nil
}

// hide puts a secret into the paths that have none: that of the other paths of a configuration, or a new one. It waits
// for replicas of an earlier version, which would not know such a path.
func (g *Gate) hide(ctx context.Context) error {
	all, err := g.configurations(ctx)
	if err != nil {
		return err
	}
	for _, c := range all {
		before := c.object.DeepCopyObject().(client.Object)
		if !putSecret(c) {
			continue
		}
		if rolled, err := g.rolledOut(ctx); err != nil || !rolled {
			return err
		}
		patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
		if err := g.o.Client.Patch(ctx, c.object, patch); err != nil {
			return fmt.Errorf("writing the paths of %s: %w", c.what, err)
		}
	}
	return nil
}

// putSecret reports whether it has changed a path.
func putSecret(c configuration) (changed bool) {
	secret := strings.ToLower(rand.Text()) // as the API server wants it
	for _, w := range c.webhooks {
		if path := pathOf(w); path != nil {
			if parts := secretPath.FindStringSubmatch(*path); parts != nil {
				secret = parts[1]
			}
		}
	}
	for _, w := range c.webhooks {
		if path := pathOf(w); path != nil && !secretPath.MatchString(*path) {
			*path = "/" + secret + *path
			changed = true
		}
	}
	return changed
}

// rolledOut reports whether all replicas are of the present form of the Deployment, if there is one.
func (g *Gate) rolledOut(ctx context.Context) (bool, error) {
	d := &appsv1.Deployment{}
	err := g.o.Client.Get(ctx, g.o.Deployment, d)
	switch {
	case apierrors.IsNotFound(err):
		return true, nil // the manager runs elsewhere, alone
	case err != nil:
		return false, fmt.Errorf("reading Deployment %s: %w", g.o.Deployment, err)
	}
	s := d.Status
	return s.ObservedGeneration >= d.Generation && s.Replicas > 0 && s.UpdatedReplicas == s.Replicas, nil
}

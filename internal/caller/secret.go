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

// interval is how often the paths are checked for a secret.
const interval = time.Minute

// secretPath matches a path with a secret in the alphabet of rand.Text.
var secretPath = regexp.MustCompile(`^/([a-z2-7]{26,})(/.*)$`)

// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=validatingwebhookconfigurations,resourceNames=nfo-validating,verbs=get;patch
// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=mutatingwebhookconfigurations,resourceNames=nfo-pods,verbs=get;patch
// +kubebuilder:rbac:groups=apps,namespace=nfo-system,resources=deployments,resourceNames=nfo-manager,verbs=get

// Start makes sure that all paths have a secret, until ctx ends. One replica does so at a time: it needs the leader's lease.
func (g *Gate) Start(ctx context.Context) error {
	wait.UntilWithContext(ctx, func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, interval)
		defer cancel()
		if err := g.addSecrets(ctx); err != nil && !apierrors.IsConflict(err) {
			log.FromContext(ctx).Error(err, "The webhooks answer at paths that are no secret; trying again in a minute")
		}
	}, interval)
	return nil
}

// addSecrets puts a secret into the paths that have none: the secret of the other paths of the configuration, or a
// new one. It waits until replicas of an earlier version have ended, because they would not serve such a path.
func (g *Gate) addSecrets(ctx context.Context) error {
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

// putSecret puts a secret into the paths that have none, and reports whether it changed a path.
func putSecret(c configuration) (changed bool) {
	secret := strings.ToLower(rand.Text()) // the API server accepts only lowercase letters
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

// rolledOut reports whether all replicas run the current version of the Deployment, or there is no Deployment.
func (g *Gate) rolledOut(ctx context.Context) (bool, error) {
	d := &appsv1.Deployment{}
	err := g.o.Client.Get(ctx, g.o.Deployment, d)
	switch {
	case apierrors.IsNotFound(err):
		return true, nil // the manager runs elsewhere, as a single replica
	case err != nil:
		return false, fmt.Errorf("reading Deployment %s: %w", g.o.Deployment, err)
	}
	s := d.Status
	return s.ObservedGeneration >= d.Generation && s.Replicas > 0 && s.UpdatedReplicas == s.Replicas, nil
}

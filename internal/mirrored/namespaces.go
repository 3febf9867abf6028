package mirrored

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/nfo-operator/nfo/internal/rewrite"
)

// ErrUnknown is wrapped if the labels of a namespace are not known.
var ErrUnknown = errors.New("the labels of the namespace are not known")

// checkInterval is how often Start checks whether the rules need labels, until these are watched.
const checkInterval = 10 * time.Second

// Namespaces watches the metadata of namespaces, as soon as the rules need their labels. It runs in every replica.
type Namespaces struct {
	Client client.Client
	Cache  cache.Cache
	// Rules returns the rules of Facts.
	Rules func(context.Context) (rewrite.Rules, error)

	informer atomic.Pointer[cache.Informer]
}

// NeedLeaderElection is false: every replica serves the webhook.
func (n *Namespaces) NeedLeaderElection() bool { return false }

// Start starts the watch as soon as the rules need it and the
// manager has the permission. It returns then, or when ctx ends.
func (n *Namespaces) Start(ctx context.Context) error {
	err := wait.PollUntilContextCancel(ctx, checkInterval, true, func(ctx context.Context) (bool, error) {
		begun, err := n.begin(ctx)
		if err != nil && ctx.Err() == nil {
			log.FromContext(ctx).Error(err, "Watching namespaces for the mirror")
		}
		return begun, nil
	})
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (n *Namespaces) begin(ctx context.Context) (bool, error) {
	r, err := n.Rules(ctx)
	if err != nil || !r.Labelled() {
		return false, err
	}
	// An informer without permission would retry forever, and keep the replica from becoming ready.
	for _, verb := range []string{"list", "watch"} {
		if may, err := May(ctx, n.Client, authorizationv1.ResourceAttributes{Verb: verb, Resource: "namespaces"}); err != nil || !may {
			return false, err
		}
	}
	informer, err := n.Cache.GetInformer(ctx, blankNamespace(), cache.BlockUntilSynced(false))
	if err != nil {
		return false, fmt.Errorf("watching namespaces: %w", err)
	}
	n.informer.Store(&informer)
	return true, nil
}

// Labels returns the labels of a namespace from the cache. Errors wrap ErrUnknown.
func (n *Namespaces) Labels(ctx context.Context, name string) (map[string]string, error) {
	if informer := n.informer.Load(); informer == nil || !(*informer).HasSynced() {
		return nil, fmt.Errorf("%w: they are not watched yet; the ClusterRole nfo-mirror-namespaces allows it", ErrUnknown)
	}
	o := blankNamespace()
	if err := n.Cache.Get(ctx, client.ObjectKey{Name: name}, o); err != nil {
		return nil, fmt.Errorf("%w: reading Namespace %s: %w", ErrUnknown, name, err)
	}
	return o.Labels, nil
}

func blankNamespace() *metav1.PartialObjectMetadata {
	o := &metav1.PartialObjectMetadata{}
	o.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	return o
}

// May reports whether the manager itself has a permission.
func May(ctx context.Context, api client.Client, what authorizationv1.ResourceAttributes) (bool, error) {
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &what}}
	if err := api.Create(ctx, review); err != nil {
		return false, fmt.Errorf("asking whether nfo may %s %s: %w", what.Verb, what.Resource, err)
	}
	return review.Status.Allowed, nil
}

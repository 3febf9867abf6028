package pod

import (
	"context"
	"fmt"
	"sync"

	"golang.org/x/time/rate"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/rewrite"
)

const (
	// maxWaiting is the most images that wait for one namespace. maxArtifacts is the
	// number of Artifacts in a namespace from which on a Queue creates no more there.
	maxWaiting, maxArtifacts = 512, 512
	// maxNamespaces is the most namespaces that images wait for.
	maxNamespaces = 1024
	// createsPerSecond is how many Artifacts a Queue creates, on average.
	createsPerSecond = 20
)

// Queue collects the images that namespaces use, and creates the missing Artifacts. It is safe for concurrent use.
type Queue struct {
	// Client reads Artifacts from the cache, and creates them.
	Client client.Client

	mu      sync.Mutex
	waiting map[string]map[rewrite.Image]bool
	// turns are the namespaces that images wait for, each once; the first one is next.
	turns []string
	wake  chan struct{}
	pace  *rate.Limiter
}

// NewQueue makes an empty Queue.
func NewQueue() *Queue {
	return &Queue{waiting: map[string]map[rewrite.Image]bool{}, wake: make(chan struct{}, 1), pace: rate.NewLimiter(createsPerSecond, createsPerSecond)}
}

// Use notes that a namespace uses an image. Images that do not fit are dropped.
func (q *Queue) Use(namespace string, image rewrite.Image) {
	q.mu.Lock()
	defer q.mu.Unlock()
	of := q.waiting[namespace]
	switch {
	case of == nil && len(q.turns) >= maxNamespaces, len(of) >= maxWaiting:
		return
	case of == nil:
		of = map[rewrite.Image]bool{}
		q.waiting[namespace] = of
		q.turns = append(q.turns, namespace)
	}
	of[image] = true
	select {
	case q.wake <- struct{}{}:
	default: // it is already awake
	}
}

// next takes one image, from each namespace in turn.
func (q *Queue) next() (namespace string, image rewrite.Image, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.turns) == 0 {
		return "", rewrite.Image{}, false
	}
	namespace, q.turns = q.turns[0], q.turns[1:]
	of := q.waiting[namespace]
	for image = range of {
		break
	}
	if delete(of, image); len(of) > 0 {
		q.turns = append(q.turns, namespace)
	} else {
		delete(q.waiting, namespace)
	}
	return namespace, image, true
}

// NeedLeaderElection is false: every replica serves the webhook.
func (q *Queue) NeedLeaderElection() bool { return false }

// Start creates Artifacts until ctx ends. An image that fails is dropped:
// a later pod, or the next reading of workloads, requests it again.
func (q *Queue) Start(ctx context.Context) error {
	for {
		namespace, image, ok := q.next()
		if !ok {
			select {
			case <-ctx.Done():
				return nil
			case <-q.wake:
			}
			continue
		}
		if err := q.create(ctx, namespace, image); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			log.FromContext(ctx).Error(err, "An image is not mirrored yet", "namespace", namespace, "image", image.String())
		}
	}
}

// used ends the grace period of an Artifact. Readings of workloads may miss a pod that exists only
// between two of them. If no workload uses the image at the next reading, the grace period begins again.
func (q *Queue) used(ctx context.Context, a *v1alpha1.Artifact) error {
	if a.Status.UnusedSince == nil || a.Releasing() {
		return nil
	}
	if err := q.pace.Wait(ctx); err != nil {
		return fmt.Errorf("waiting to say that an image is used: %w", err)
	}
	before := client.MergeFromWithOptions(a.DeepCopy(), client.MergeFromWithOptimisticLock{})
	a.Status.UnusedSince = nil
	err := client.IgnoreNotFound(q.Client.Status().Patch(ctx, a, before))
	if err == nil || apierrors.IsConflict(err) { // another writer has just read or changed it
		return nil
	}
	return fmt.Errorf("saying that the Artifact %s is used: %w", a.Name, err)
}

func (q *Queue) create(ctx context.Context, namespace string, image rewrite.Image) error {
	a, there := image.Artifact(namespace), &v1alpha1.Artifact{}
	switch err := q.Client.Get(ctx, client.ObjectKeyFromObject(a), there); {
	case err == nil:
		return q.used(ctx, there)
	case !apierrors.IsNotFound(err):
		return fmt.Errorf("reading the Artifact %s: %w", a.Name, err)
	}
	var all v1alpha1.ArtifactList
	if err := q.Client.List(ctx, &all, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil { // it is only counted
		return fmt.Errorf("listing Artifacts: %w", err)
	}
	if len(all.Items) >= maxArtifacts {
		return fmt.Errorf("there are %d Artifacts in the namespace; more are made only for what is found running", len(all.Items))
	}
	if err := q.pace.Wait(ctx); err != nil {
		return fmt.Errorf("waiting to create an Artifact: %w", err)
	}
	if err := q.Client.Create(ctx, a); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("creating the Artifact %s: %w", a.Name, err)
	}
	return nil
}

package admission

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
)

// syncPatience is how long a request waits while the caches are being filled.
const syncPatience = time.Second

// lookup reads what the rules need.
type lookup struct {
	cached  client.Reader
	live    client.Reader
	synced  func(context.Context) bool
	holders *reference.Finder
	watched reference.Watched
}

// ready waits up to syncPatience for the caches. An unfilled cache
// lacks holders, so it must not be used to admit a deletion (I2).
func (l *lookup) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, syncPatience)
	defer cancel()
	if !l.synced(ctx) {
		return unavailable("the operator has not read all objects yet, so that it cannot tell what is in use; try again")
	}
	return nil
}

// target is what was read of an object that another one references. The zero target does not exist.
type target struct {
	exists, terminating bool
	// storeScoped is true for a manifest in the form before AOSM's 2025-03-30 API.
	storeScoped bool
	// ready is true for a sealed manifest, and for a version that is not in Preview.
	ready bool
	// incomplete names the images that charts of a manifest need and that were not found, "" for none.
	incomplete string
	// deprecated is true for a version that takes no new deployments.
	deprecated bool
}

// good reports whether a target is free of findings. If ready is true, the target must be ready as well.
func (t target) good(ready bool) bool {
	return t.exists && !t.terminating && !t.storeScoped && !t.deprecated && (t.ready || !ready)
}

// targetOf returns the target for a stored object.
func targetOf(o client.Object) target {
	t := target{exists: true, terminating: !o.GetDeletionTimestamp().IsZero() && !awaitsHolders(o), ready: true}
	var state v1alpha1.VersionState
	switch o := o.(type) {
	case *v1alpha1.ArtifactManifest:
		t.ready = o.Spec.ArtifactManifestState == v1alpha1.ManifestUploaded
		t.storeScoped = o.Spec.UploadPath == v1alpha1.StoreScoped
		if c := apimeta.FindStatusCondition(o.Status.Conditions, v1alpha1.ConditionComplete); c != nil && c.Status == metav1.ConditionFalse {
			t.incomplete = c.Message
		}
	case *v1alpha1.NetworkFunctionDefinitionVersion:
		state = o.Spec.VersionState
		t.ready = state != v1alpha1.VersionPreview
	case *v1alpha1.NetworkServiceDesignVersion:
		state = o.Spec.VersionState
		t.ready = state != v1alpha1.VersionPreview
	}
	t.deprecated = state == v1alpha1.VersionDeprecated
	return t
}

// awaitsHolders reports whether an object's deletion waits until objects that may hold it are applied again.
func awaitsHolders(o client.Object) bool {
	c := apimeta.FindStatusCondition(v1alpha1.ConditionsOf(o), v1alpha1.ConditionDeletionBlocked)
	return c != nil && c.Reason == v1alpha1.ReasonHoldersUnknown
}

// target reads a referenced object. It takes only a good target from the cache, and otherwise asks the
// API server: objects that are applied one after another arrive faster than the cache learns of them.
func (l *lookup) target(ctx context.Context, o reference.Object, ready bool) (target, error) {
	key, into := client.ObjectKey{Namespace: o.Namespace, Name: o.Name}, o.Blank()
	if err := l.cached.Get(ctx, key, into); err == nil && targetOf(into).good(ready) {
		return targetOf(into), nil
	}
	into = o.Blank()
	err := l.live.Get(ctx, key, into)
	if apierrors.IsNotFound(err) {
		return target{}, nil
	}
	if err != nil {
		return target{}, fmt.Errorf("reading %s: %w", o, err)
	}
	return targetOf(into), nil
}

// targets reads each object in all once.
func (l *lookup) targets(ctx context.Context, all []named, ready bool) (map[reference.Object]target, error) {
	found := map[reference.Object]target{}
	for _, n := range all {
		if _, known := found[n.to]; known {
			continue
		}
		t, err := l.target(ctx, n.to, ready)
		if err != nil {
			return nil, unread(err)
		}
		found[n.to] = t
	}
	return found, nil
}

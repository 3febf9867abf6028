package integration

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onsi/gomega"
	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/test/environment"
)

var raceFor = flag.Duration("preflight.race", 20*time.Second, "how long holders are created while their subjects are deleted")

// racers is how many manifests are tested at the same time.
const racers = 16

// race is a manifest that is repeatedly deleted while its holder is created.
type race struct {
	*scene
	api client.Client
	// seen is a cache. Only the test deletes holders, so a holder that is admitted in the cache still is.
	seen     client.Reader
	name     string
	digest   string
	manifest *v1alpha1.ArtifactManifest
	holder   *v1alpha1.NetworkFunctionDefinitionVersion
	// deleted is the UID of the manifest whose deletion was admitted last.
	deleted types.UID
}

// outcomes counts how rounds have ended.
type outcomes struct{ rounds, deletionsRefused, holdersRefused, passed, admitted atomic.Int64 }

// The check of a deletion and the creation of a holder overlap in every possible way. The webhooks read
// only caches, so the finalizer must ensure that a tag never disappears while an admitted holder exists.
func TestI1HolderAgainstDeletion(t *testing.T) {
	s := newScene(t)
	s.manage(hooked, func(o *environment.ManagerOptions) { o.QPS, o.PollsPerSecond = 5000, 5000 })
	s.create(s.store("acme"))
	kube := rest.CopyConfig(env.Admin)
	kube.QPS, kube.WarningHandler = -1, rest.NoWarnings{}
	api, err := client.New(kube, client.Options{Scheme: env.Client.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	seen, err := cache.New(kube, cache.Options{Scheme: env.Client.Scheme(), DefaultNamespaces: map[string]cache.Config{s.ns: {}}})
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = seen.Start(t.Context()) }() // until the test ends
	var count outcomes
	var all errgroup.Group
	end := time.Now().Add(*raceFor)
	for i := range racers {
		name := fmt.Sprintf("m%02d", i)
		r := race{scene: s, api: api, seen: seen, name: name, digest: s.image(name, "a:1", name).Digest.String()}
		all.Go(func() error {
			for time.Now().Before(end) {
				if err := r.round(t.Context(), &count); err != nil {
					return fmt.Errorf("%s, after %d rounds: %w", r.name, count.rounds.Load(), err)
				}
				count.rounds.Add(1)
			}
			return nil
		})
	}
	s.Expect(all.Wait()).To(gomega.Succeed())
	t.Logf("%d rounds: %d deletions refused, %d holders refused, both passed in %d; %d holders admitted",
		count.rounds.Load(), count.deletionsRefused.Load(), count.holdersRefused.Load(), count.passed.Load(), count.admitted.Load())
	s.Expect(count.rounds.Load()).To(gomega.BeNumerically(">", racers), "every manifest had its turn")
	s.Expect(count.passed.Load()).NotTo(gomega.BeZero(), "they passed each other: what the finalizer is for")
	s.Expect(count.admitted.Load()).NotTo(gomega.BeZero(), "holders were admitted: whose tags were looked at")
}

// round starts and ends without a holder.
func (r *race) round(ctx context.Context, count *outcomes) error {
	if err := r.present(ctx); err != nil {
		return err
	}
	r.holder = r.definition(r.name, r.name, "a")
	var deletion, creation error
	var both errgroup.Group
	ahead := (rand.IntN(9) - 4) / 3 // mostly 0: both at the same time
	both.Go(func() error { r.dawdle(ctx, ahead); deletion = r.api.Delete(ctx, r.manifest); return nil })
	both.Go(func() error { r.dawdle(ctx, -ahead); creation = r.api.Create(ctx, r.holder); return nil })
	if err := both.Wait(); err != nil {
		return err
	}
	switch {
	case apierrors.IsConflict(deletion):
		count.deletionsRefused.Add(1)
	case deletion != nil:
		return fmt.Errorf("deleting the manifest: %w", deletion)
	default:
		r.deleted = r.manifest.UID
	}
	if apierrors.IsInvalid(creation) {
		count.holdersRefused.Add(1)
		return nil
	}
	if creation != nil {
		return fmt.Errorf("creating the holder: %w", creation)
	}
	if deletion == nil {
		count.passed.Add(1)
	}
	if err := r.judge(ctx, deletion == nil, count); err != nil {
		return err
	}
	if err := r.api.Delete(ctx, r.holder); err != nil {
		return err
	}
	return r.until(ctx, "the holder goes", func(ctx context.Context) (bool, error) {
		err := r.seen.Get(ctx, client.ObjectKeyFromObject(r.holder), r.holder)
		return apierrors.IsNotFound(err), client.IgnoreNotFound(err)
	})
}

// dawdle waits for the duration of so many requests.
func (r *race) dawdle(ctx context.Context, requests int) {
	for range requests {
		_ = r.api.Get(ctx, client.ObjectKeyFromObject(r.manifest), &v1alpha1.ArtifactManifest{}) // only the time matters
	}
}

// judge waits until both controllers have handled the objects. From the
// time when the holder is resolved until it is deleted, the tag must exist.
func (r *race) judge(ctx context.Context, deleted bool, count *outcomes) error {
	admitted := false
	err := r.until(ctx, "the manifest and its holder settle", func(ctx context.Context) (bool, error) {
		var holder v1alpha1.NetworkFunctionDefinitionVersion
		if err := r.seen.Get(ctx, client.ObjectKeyFromObject(r.holder), &holder); err != nil || holder.UID != r.holder.UID {
			return false, client.IgnoreNotFound(err)
		}
		resolved := apimeta.FindStatusCondition(holder.Status.Conditions, v1alpha1.ConditionResolved)
		if resolved != nil && resolved.Status == metav1.ConditionTrue {
			admitted = true
			if at := r.tag(); at != r.digest {
				return false, fmt.Errorf("I1: the tag is at %q while an admitted holder exists", at)
			}
		}
		var now v1alpha1.ArtifactManifest
		err := r.seen.Get(ctx, client.ObjectKeyFromObject(r.manifest), &now)
		if !deleted || apierrors.IsNotFound(err) {
			return resolved != nil, nil
		}
		if err != nil {
			return false, err
		}
		return resolved != nil && apimeta.IsStatusConditionTrue(now.Status.Conditions, v1alpha1.ConditionDeletionBlocked), nil
	})
	if err != nil || !admitted {
		return err
	}
	count.admitted.Add(1)
	if at := r.tag(); at != r.digest {
		return fmt.Errorf("I1: the tag is at %q while an admitted holder exists", at)
	}
	return nil
}

// present creates the manifest, unless it exists, and waits until its tag is restored.
func (r *race) present(ctx context.Context) error {
	return r.until(ctx, "the manifest and its tag are there", func(ctx context.Context) (bool, error) {
		r.manifest = r.scene.manifest(r.name, "a:1")
		err := r.seen.Get(ctx, client.ObjectKeyFromObject(r.manifest), r.manifest)
		if apierrors.IsNotFound(err) {
			err := r.api.Create(ctx, r.manifest)
			return false, client.IgnoreAlreadyExists(err) // not in the cache yet
		}
		if err != nil || r.manifest.UID == r.deleted {
			return false, err
		}
		return apimeta.IsStatusConditionTrue(r.manifest.Status.Conditions, v1alpha1.ConditionUploaded) && r.tag() == r.digest, nil
	})
}

func (r *race) tag() string {
	req, err := http.NewRequest(http.MethodHead, "/v2/"+repository(r.name, "a")+"/manifests/1", nil)
	if err != nil {
		return err.Error()
	}
	req.Header.Set("Accept", "application/vnd.oci.image.manifest.v1+json")
	return behind(r.inside, req)
}

func (r *race) until(ctx context.Context, what string, done func(context.Context) (bool, error)) error {
	if err := wait.PollUntilContextTimeout(ctx, 5*time.Millisecond, patience, true, done); err != nil {
		return fmt.Errorf("waiting until %s: %w", what, err)
	}
	return nil
}

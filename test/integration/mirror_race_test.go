package integration

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onsi/gomega"
	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/clusterregistry/serve"
	"github.com/nfo-operator/nfo/internal/place"
	"github.com/nfo-operator/nfo/internal/purge"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
	"github.com/nfo-operator/nfo/internal/rewrite"
	"github.com/nfo-operator/nfo/test/environment"
)

var mirrorRace = flag.Duration("mirror.race", 0, "how long pods come and go while the mirror is purged and collected; 0 for not at all")

const (
	// mirrorRacers is how many network functions are created and deleted at the same time, each with two versions.
	mirrorRacers = 4
	// comesBack is how long an image that an admitted pod pulls may be missing from the mirror while the source is up.
	comesBack = 30 * time.Second
)

// mirrorRacing is a cluster whose mirror is purged and collected all the time, without a grace period.
type mirrorRacing struct {
	*scene
	ran      *scene // the namespace of the workloads
	source   *registrytest.Registry
	inMirror *registry.Client
	mirror   client.ObjectKey
	// token is the path of a token of the mirror's purge.
	token string

	// fromSource counts pods that the webhook did not change. there and again count pulls from
	// the mirror: of images that were present, and of images that had to be copied again first.
	fromSource, there, again, rollbacks, purges, deleted, collections atomic.Int64
	// longest is the longest time until an image was copied again, in nanoseconds.
	longest atomic.Int64
}

func newMirrorRacing(t *testing.T) *mirrorRacing {
	t.Helper()
	s := newShippedScene(t, t.TempDir(), func(o *serve.Options) { o.Collection.Grace = 2 * time.Second })
	r := &mirrorRacing{scene: s, ran: s.neighbour(), source: registrytest.Start(t), mirror: client.ObjectKey{Namespace: s.ns, Name: v1alpha1.MirrorName}}
	s.readsImages()
	places, err := place.Parse(fmt.Appendf(nil, "places: [{registry: %s/%s, namespaces: [%s]}]", v1alpha1.ClusterRegistryHost, v1alpha1.MirrorPrefix, s.ns))
	s.Expect(err).NotTo(gomega.HaveOccurred())
	token := s.token(v1alpha1.ManagerNamespace, v1alpha1.ManagerName)
	known := r.ran.store("acme", func(st *v1alpha1.ArtifactStore) { st.Spec.Registry.URL = r.source.URL("acme") })
	mirror := s.store(v1alpha1.MirrorName, noGrace, inCluster(v1alpha1.MirrorPrefix), func(st *v1alpha1.ArtifactStore) {
		st.Spec.Mirror = &v1alpha1.MirrorSpec{Images: v1alpha1.MirrorKnownStores, PullAddress: pullAddress, RefreshPeriod: metav1.Duration{Duration: time.Minute}}
	})
	s.create(known, mirror)
	s.manage(scheduled, func(o *environment.ManagerOptions) {
		o.Namespace, o.Namespaces, o.Places, o.Webhooks = s.ns, []string{s.ns, r.ran.ns}, places, true
		o.Cluster = registry.ClusterRegistry{Address: s.registry.URL(""), TokenFile: token}
	})
	s.eventually(known, v1alpha1.ConditionReady, "True/Ready")
	s.eventually(mirror, v1alpha1.ConditionReady, "True/Ready")
	r.inMirror, err = registry.Open(registry.Config{Location: s.registry.Location(v1alpha1.MirrorPrefix), TokenFile: token})
	s.Expect(err).NotTo(gomega.HaveOccurred())
	t.Cleanup(r.inMirror.Close)
	s.Eventually(func() error { // until the manager has created the purge's account
		return env.Client.Get(t.Context(), client.ObjectKey{Namespace: s.ns, Name: "mirror-purge"}, &corev1.ServiceAccount{})
	}).Should(gomega.Succeed())
	r.token = s.token(s.ns, "mirror-purge")
	return r
}

// Pods are created, deleted and rolled back while the mirror is purged without a grace period and collected. Every Artifact
// claims all the time that nothing uses it, so only what a purge itself reads protects an image. The image of a pod that
// was admitted to pull from the mirror is present, or is soon copied again. `make mirror-races` runs this for minutes.
func TestR5NoAdmittedPodWaitsForItsImage(t *testing.T) {
	if *mirrorRace == 0 {
		t.Skip("make mirror-races")
	}
	r := newMirrorRacing(t)
	all, ctx := errgroup.WithContext(t.Context())
	ctx, cancel := context.WithTimeout(ctx, *mirrorRace)
	defer cancel()
	for _, act := range []func() error{r.purge, r.collect, r.accuse} {
		all.Go(func() error {
			for ctx.Err() == nil {
				if err := act(); err != nil {
					return err
				}
			}
			return nil
		})
	}
	for i := range mirrorRacers {
		name := fmt.Sprintf("cnf-%d", i)
		for _, version := range []string{"1", "2"} {
			_, err := registrytest.PushImage(t.Context(), r.source.Host, "acme/"+name, version, name+version)
			r.Expect(err).NotTo(gomega.HaveOccurred())
		}
		all.Go(func() error {
			for n := 0; ctx.Err() == nil; n++ {
				round := r.alone
				if n%3 == 2 {
					round = r.rolledBack
				}
				if err := round(t.Context(), name, n); err != nil {
					return fmt.Errorf("%s, round %d: %w", name, n, err)
				}
			}
			return nil
		})
	}
	r.Expect(all.Wait()).To(gomega.Succeed())
	t.Logf("pods whose image was in the mirror at once: %d, copied again: %d, after %s at most; left at their source: %d; rolled back: %d; purges: %d, which deleted %d; collections: %d",
		r.there.Load(), r.again.Load(), time.Duration(r.longest.Load()).Round(time.Millisecond), r.fromSource.Load(), r.rollbacks.Load(), r.purges.Load(), r.deleted.Load(), r.collections.Load())
	r.Expect(r.deleted.Load()).NotTo(gomega.BeZero(), "purges deleted what nothing used")
	r.Expect(r.there.Load()).NotTo(gomega.BeZero(), "pods pulled from the mirror")
}

// purge runs `nfo purge` for the mirror.
func (r *mirrorRacing) purge() error {
	cfg, err := env.PurgeOf(r.mirror, nil)
	if err != nil {
		return err
	}
	cfg.SecondLook, cfg.RegistryToken = time.Second, r.token
	report, err := purge.Run(r.t.Context(), cfg)
	if err != nil && !errors.Is(err, purge.ErrPutBack) {
		return fmt.Errorf("purging the mirror: %w", err)
	}
	r.purges.Add(1)
	r.deleted.Add(int64(report.Deleted))
	return nil
}

// collect requests a collection of the registry, and waits until it is done.
func (r *mirrorRacing) collect() error {
	asked, err := r.inMirror.Collect(r.t.Context(), r.mirror)
	if err != nil {
		return err
	}
	r.collections.Add(1)
	return r.until(r.t.Context(), "the collection ends", func(ctx context.Context) (bool, error) {
		is, err := r.inMirror.Collection(ctx, r.mirror)
		return is.Done >= asked.Requested, err
	})
}

// accuse sets in the status of all Artifacts that nothing has used them for an hour.
func (r *mirrorRacing) accuse() error {
	ctx := r.t.Context()
	var all v1alpha1.ArtifactList
	if err := env.Client.List(ctx, &all, client.InNamespace(r.ran.ns)); err != nil {
		return err
	}
	patch := fmt.Appendf(nil, `{"status":{"unusedSince":%q}}`, time.Now().Add(-time.Hour).UTC().Format(time.RFC3339))
	for i := range all.Items {
		if all.Items[i].Status.UnusedSince != nil {
			continue
		}
		if err := env.Client.Status().Patch(ctx, &all.Items[i], client.RawPatch(types.MergePatchType, patch)); client.IgnoreNotFound(err) != nil {
			return err
		}
	}
	<-time.After(100 * time.Millisecond)
	return nil
}

func (r *mirrorRacing) image(name, version string) string {
	return r.source.Host + "/acme/" + name + ":" + version
}

// alone creates a pod once the mirror has its image, pulls the image several times, and deletes the pod.
func (r *mirrorRacing) alone(ctx context.Context, name string, n int) error {
	image := r.image(name, fmt.Sprint(n%2+1))
	if err := r.present(ctx, image); err != nil {
		return err
	}
	<-time.After(time.Duration(rand.IntN(1500)) * time.Millisecond) // so that it meets a purge at any point
	p := r.ran.pod("", image)
	p.GenerateName = name + "-"
	if err := env.Client.Create(ctx, p); err != nil {
		return err
	}
	for range 3 {
		if err := r.pulls(ctx, p); err != nil {
			return err
		}
		<-time.After(time.Duration(rand.IntN(500)) * time.Millisecond)
	}
	return env.Client.Delete(ctx, p, client.GracePeriodSeconds(0))
}

// rolledBack creates a Deployment, upgrades it and rolls it back. From the time when the mirror
// has the first version's image until the Deployment is deleted, the image must be in the mirror.
func (r *mirrorRacing) rolledBack(ctx context.Context, name string, n int) error {
	r.rollbacks.Add(1)
	d := r.ran.deployment(fmt.Sprintf("%s-%d", name, n), r.image(name, "1"))
	d.Spec.Strategy.Type = appsv1.RecreateDeploymentStrategyType
	if err := env.Client.Create(ctx, d); err != nil {
		return err
	}
	for i, version := range []string{"1", "2", "1"} {
		change := fmt.Appendf(nil, `{"spec":{"template":{"spec":{"containers":[{"name":%q,"image":%q}]}}}}`, d.Spec.Template.Spec.Containers[0].Name, r.image(name, version))
		if err := env.Client.Patch(ctx, d, client.RawPatch(types.StrategicMergePatchType, change)); err != nil {
			return err
		}
		p, err := r.podOf(ctx, d, r.image(name, version))
		if err != nil {
			return err
		}
		there, err := r.has(ctx, r.image(name, version))
		if err == nil && !there && i == 2 {
			err = errors.New("I14: the image of the old ReplicaSet has gone from the mirror")
		}
		if err != nil {
			return err
		}
		if err := errors.Join(r.pulls(ctx, p), r.present(ctx, r.image(name, version))); err != nil {
			return err
		}
	}
	return env.Client.Delete(ctx, d, client.PropagationPolicy(metav1.DeletePropagationBackground))
}

// podOf waits for the pod of a Deployment with an image.
func (r *mirrorRacing) podOf(ctx context.Context, d *appsv1.Deployment, image string) (p *corev1.Pod, err error) {
	var all corev1.PodList
	err = r.until(ctx, "the Deployment has a pod of "+image, func(ctx context.Context) (bool, error) {
		if err := env.Client.List(ctx, &all, client.InNamespace(d.Namespace), client.MatchingLabels(d.Spec.Selector.MatchLabels)); err != nil {
			return false, err
		}
		for i := range all.Items {
			if at := all.Items[i].Spec.Containers[0].Image; at == image || strings.HasSuffix(at, r.at(image).Path()+":"+r.at(image).Tag) {
				p = &all.Items[i]
			}
		}
		return p != nil, nil
	})
	return p, err
}

// present waits until the mirror has an image for the workloads' namespace. It creates the Artifact if necessary.
func (r *mirrorRacing) present(ctx context.Context, image string) error {
	a := r.at(image).Artifact(r.ran.ns)
	return r.until(ctx, "the mirror has "+image, func(ctx context.Context) (bool, error) {
		if err := env.Client.Get(ctx, client.ObjectKeyFromObject(a), a); err != nil {
			a = r.at(image).Artifact(r.ran.ns)
			return false, client.IgnoreAlreadyExists(env.Client.Create(ctx, a))
		}
		return a.Status.State == v1alpha1.MirrorPresent, nil
	})
}

// pulls pulls the image of an admitted pod, as its node would. It only counts a pod that pulls from the source.
func (r *mirrorRacing) pulls(ctx context.Context, p *corev1.Pod) error {
	own, fromMirror := rewrite.Original(p.Spec.Containers[0].Image, pullAddress)
	if !fromMirror {
		r.fromSource.Add(1)
		return nil
	}
	began, tries := time.Now(), 0
	err := wait.PollUntilContextTimeout(ctx, 20*time.Millisecond, comesBack, true, func(ctx context.Context) (bool, error) {
		tries++
		return r.has(ctx, own.String())
	})
	if err != nil {
		return fmt.Errorf("R5: the admitted pod %s waits for %s: %w", p.Name, own, err)
	}
	if tries == 1 {
		r.there.Add(1)
		return nil
	}
	r.again.Add(1)
	for waited := int64(time.Since(began)); ; {
		if most := r.longest.Load(); waited <= most || r.longest.CompareAndSwap(most, waited) {
			return nil
		}
	}
}

// has reports whether the mirror serves an image completely.
func (r *mirrorRacing) has(ctx context.Context, image string) (bool, error) {
	_, err := r.inMirror.Resolve(ctx, r.at(image).MirrorRepository(), r.at(image).Tag)
	if errors.Is(err, registry.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

func (r *mirrorRacing) at(image string) rewrite.Image {
	i, err := rewrite.Parse(image)
	if err != nil {
		panic(err) // the test itself has made the name
	}
	return i
}

func (r *mirrorRacing) until(ctx context.Context, what string, done func(context.Context) (bool, error)) error {
	if err := wait.PollUntilContextTimeout(ctx, 20*time.Millisecond, patience, true, done); err != nil {
		return fmt.Errorf("waiting until %s: %w", what, err)
	}
	return nil
}

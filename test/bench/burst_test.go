package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

const (
	burst          = 1000 // manifests that are released at once
	burstArtifacts = 6    // of each manifest
	burstBare      = 200  // manifests for which the bare client sends the same writes
	burstWorkers   = 16   // concurrent requests of either
)

// BenchmarkBurst deletes the holders of all manifests at once. The manifests are already being
// deleted, and wait for their holders. It measures the time until the last manifest is gone.
func BenchmarkBurst(b *testing.B) {
	api := newRecorder()
	s := newSite(b, burst, burstArtifacts, api.wrap)
	originals := &v1alpha1.ArtifactManifestList{}
	must(b, env.Client.List(b.Context(), originals, client.InNamespace(s.ns), client.Limit(burstBare)))
	s.block(0, burst)
	s.registry.Forget()
	api.reset()
	start := time.Now()
	var deleting errgroup.Group
	deleting.SetLimit(burstWorkers)
	for i := range burst {
		deleting.Go(func() error { return env.Client.Delete(b.Context(), s.holder(i)) })
	}
	must(b, deleting.Wait())
	deleted := time.Since(start)
	must(b, wait.PollUntilContextTimeout(b.Context(), 50*time.Millisecond, 10*time.Minute, true, func(ctx context.Context) (bool, error) {
		one := &metav1.PartialObjectMetadataList{} // a list of all would be most of the work
		one.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(v1alpha1.KindArtifactManifest + "List"))
		err := env.Client.List(ctx, one, client.InNamespace(s.ns), client.Limit(1))
		return len(one.Items) == 0, err
	}))
	all := time.Since(start)
	rate := burst / all.Seconds()
	requests := s.registry.Count(func(*http.Request) bool { return true })
	bare := s.bareBurst(originals.Items)
	fmt.Printf("burst: %d holders deleted in %s, their manifests of %d artifacts released and gone in %s: %.0f a second; a bare client that writes the same and asks nothing, %d at once: %.0f a second, ratio %.2f\n",
		burst, deleted.Round(time.Millisecond), burstArtifacts, all.Round(time.Millisecond), rate, burstWorkers, bare, rate/bare)
	fmt.Printf("  for each manifest %.1f requests to the registry, and to the API server %s, which took %s in all\n", float64(requests)/burst, api.perKind(burst), api.times())
	b.ReportMetric(rate, "manifests/s")
	b.ReportMetric(0, "ns/op") // without meaning here
}

// bareBurst copies manifests and their definitions to a namespace that no manager watches, and writes
// there and to the registry what a release of each manifest writes. It returns the releases per second.
func (s site) bareBurst(originals []v1alpha1.ArtifactManifest) float64 {
	s.b.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "bench-bare-"}}
	must(s.b, env.Client.Create(s.b.Context(), ns))
	var tombstones v1alpha1.TombstoneList
	must(s.b, env.Client.List(s.b.Context(), &tombstones, client.InNamespace(s.ns)))
	of := map[string]v1alpha1.Tombstone{}
	for _, t := range tombstones.Items {
		of[t.Spec.Manifest.Name] = t
	}
	all := make([]bareRelease, len(originals))
	must(s.b, s.each(len(all), func(ctx context.Context, i int) (err error) {
		all[i], err = s.bareCopy(ctx, ns.Name, &originals[i], of[originals[i].Name])
		return err
	}))
	start := time.Now()
	must(s.b, s.each(len(all), func(ctx context.Context, i int) error { return all[i].run(ctx, s) }))
	return float64(len(all)) / time.Since(start).Seconds()
}

// each calls do for the numbers below n, with at most burstWorkers calls at a time.
func (s site) each(n int, do func(ctx context.Context, i int) error) error {
	var g errgroup.Group
	g.SetLimit(burstWorkers)
	for i := range n {
		g.Go(func() error { return do(s.b.Context(), i) })
	}
	return g.Wait()
}

// bareRelease is what a release writes: the finalizers of two objects, a tombstone, an event, and the removal of the tags.
type bareRelease struct {
	manifest  *v1alpha1.ArtifactManifest
	holder    *v1alpha1.NetworkFunctionDefinitionVersion
	tombstone v1alpha1.Tombstone
}

// bareCopy creates in another namespace a manifest and its definition,
// both with a finalizer and in deletion, and pushes the tags again.
func (s site) bareCopy(ctx context.Context, ns string, m *v1alpha1.ArtifactManifest, tombstone v1alpha1.Tombstone) (bareRelease, error) {
	made := metav1.ObjectMeta{Namespace: ns, Name: m.Name, Finalizers: []string{v1alpha1.Finalizer}}
	r := bareRelease{manifest: m.DeepCopy(), holder: s.holding(m.Name, artifact(0)), tombstone: tombstone}
	status := m.Status
	r.manifest.ObjectMeta, r.holder.ObjectMeta = made, *made.DeepCopy()
	r.tombstone.ObjectMeta = metav1.ObjectMeta{Namespace: ns, Name: tombstone.Name}
	for j := range s.artifacts {
		if _, err := registrytest.PushImage(ctx, s.registry.Host, "acme/"+m.Name+"/"+artifact(j), "1", m.Name); err != nil {
			return r, err
		}
	}
	err := env.Client.Create(ctx, r.manifest)
	if r.manifest.Status = status; err == nil {
		err = env.Client.Status().Update(ctx, r.manifest)
	}
	return r, errors.Join(err, env.Client.Create(ctx, r.holder), env.Client.Delete(ctx, r.manifest))
}

func (r *bareRelease) run(ctx context.Context, s site) error {
	if err := env.Client.Delete(ctx, r.holder); err != nil {
		return err
	}
	status := r.tombstone.Status
	if err := env.Client.Create(ctx, &r.tombstone); err != nil {
		return err
	}
	for _, a := range r.tombstone.Spec.Artifacts {
		for _, method := range []string{http.MethodHead, http.MethodDelete} {
			if _, err := send(ctx, s.registry.Host, seen{method: method, path: "/v2/" + a.Repository + "/manifests/" + a.Tag}); err != nil {
				return err
			}
		}
	}
	e := &eventsv1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: r.manifest.Namespace, GenerateName: r.manifest.Name + "-"}, EventTime: metav1.NowMicro(), ReportingController: "nfo", ReportingInstance: "bench",
		Type: corev1.EventTypeNormal, Reason: v1alpha1.ReasonReleased, Action: "Deleting", Note: "Its tags are removed.",
		Regarding: corev1.ObjectReference{Kind: v1alpha1.KindArtifactManifest, Namespace: r.manifest.Namespace, Name: r.manifest.Name},
	}
	if err := env.Client.Create(ctx, e); err != nil {
		return err
	}
	r.tombstone.Status = status
	if err := env.Client.Status().Update(ctx, &r.tombstone); err != nil {
		return err
	}
	for _, o := range []client.Object{r.holder, r.manifest} {
		blank := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`))
		if err := env.Client.Patch(ctx, o, blank); err != nil {
			return err
		}
	}
	return nil
}

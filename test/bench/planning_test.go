package bench

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/livelist"
	"github.com/nfo-operator/nfo/internal/purge"
)

const (
	lively   = 1000 // manifests of a store whose content must all be kept
	imagesOf = 100  // of each manifest
)

// BenchmarkPlanning measures two dry runs: of a store with 100,000 image manifests,
// few of which may be deleted and whose usage is not measured; and of a distant store
// that must be read completely, compared with the same requests from a bare client.
func BenchmarkPlanning(b *testing.B) {
	peer(b, "registry")
	b.Run("few", func(b *testing.B) {
		c := newPlanning(b, load{10, 10, 1, 0, 0})
		defer c.stand.serve()()
		ns := c.createTombstones()
		c.populate(ns, lively, imagesOf)
		runtime.GC()
		var before runtime.MemStats
		runtime.ReadMemStats(&before)
		stop := peak()
		report, took := c.dryRun(ns)
		most := stop()
		fmt.Printf("planning, %d image manifests in a store of which %d may go: %s with %d requests to the registry (%s), %.1f MiB more than before; %s\n",
			lively*imagesOf+c.load.deletes(), report.Deleted, took.Round(time.Millisecond), len(c.registry.requests), c.registry.perKind(report.Deleted),
			float64(most-min(most, before.HeapAlloc))/(1<<20), report.Summary())
		b.ReportMetric(took.Seconds(), "s")
		b.ReportMetric(float64(most-min(most, before.HeapAlloc))/(1<<20), "MiB-more")
		b.ReportMetric(0, "ns/op") // without meaning here
	})
	b.Run("far", func(b *testing.B) {
		c := newPlanning(b, load{20, 10, 1, 9, away})
		defer c.stand.serve()()
		ns := c.createTombstones()
		c.measured(ns)
		report, took := c.dryRun(ns)
		bare, err := replay(c.ctx, c.stand.host, c.registry.requests, 0)
		must(b, err)
		fmt.Printf("planning, all of %d repositories, %s away: %s with %d requests (%s), which alone take %s, %d at a time: %.2f times that; %s\n",
			c.load.repositories(), away, took.Round(time.Millisecond), len(c.registry.requests), c.registry.perKind(c.load.repositories()), bare.Round(time.Millisecond), atOnce,
			took.Seconds()/bare.Seconds(), report.Summary())
		b.ReportMetric(took.Seconds()/bare.Seconds(), "times-bare")
		b.ReportMetric(0, "ns/op") // without meaning here
	})
}

func newPlanning(b *testing.B, l load) *contest {
	b.Helper()
	return &contest{b: b, ctx: b.Context(), load: l, stand: newStand(b, l), rates: map[string][]float64{}}
}

// dryRun plans a purge, and fails unless everything that was released would be deleted.
func (c *contest) dryRun(ns string) (purge.Report, time.Duration) {
	c.b.Helper()
	c.registry = newRecorder()
	kube := purger(ns)
	kube.QPS = -1 // as in nfo purge
	plain, err := client.New(kube, client.Options{Scheme: env.Client.Scheme()})
	must(c.b, err)
	lists, err := livelist.NewClient(plain, kube, nil)
	must(c.b, err)
	start := time.Now()
	report, err := purge.Run(c.ctx, purge.Config{Namespace: ns, Store: "acme", Client: livelist.NewMemory(lists), Identity: ns, DryRun: true, Open: c.open})
	took := time.Since(start)
	must(c.b, err)
	if report.Deleted != c.load.deletes() {
		c.b.Fatalf("%d may go: %s", c.load.deletes(), report.Summary())
	}
	return report, took
}

// measured gives the store a capacity and a threshold, so that a purge reads the whole store.
func (c *contest) measured(ns string) {
	c.b.Helper()
	var s v1alpha1.ArtifactStore
	must(c.b, env.Client.Get(c.ctx, client.ObjectKey{Namespace: ns, Name: "acme"}, &s))
	s.Spec.Capacity, s.Spec.Purge.ThresholdPercent = resource.NewQuantity(1, resource.BinarySI), 1
	must(c.b, env.Client.Update(c.ctx, &s))
	for i := range s.Status.Conditions {
		s.Status.Conditions[i].ObservedGeneration = s.Generation
	}
	must(c.b, env.Client.Status().Update(c.ctx, &s))
}

// populate creates manifests whose artifacts are kept. The registry need
// not have these artifacts, because no request is about them.
func (c *contest) populate(ns string, manifests, images int) {
	c.b.Helper()
	var g errgroup.Group
	g.SetLimit(16)
	for i := range manifests {
		g.Go(func() error { return live(c.ctx, ns, fmt.Sprintf("live%04d", i), images) })
	}
	must(c.b, g.Wait())
}

func live(ctx context.Context, ns, name string, images int) error {
	m := &v1alpha1.ArtifactManifest{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}}
	m.Spec.ArtifactStoreRef.Name = "acme"
	var status []v1alpha1.ArtifactStatus
	for i := range images {
		a := v1alpha1.ManifestArtifact{ArtifactName: fmt.Sprint("image", i), ArtifactVersion: "1.0.0"}
		m.Spec.Artifacts = append(m.Spec.Artifacts, a)
		status = append(status, v1alpha1.ArtifactStatus{
			ArtifactName: a.ArtifactName, ArtifactVersion: a.ArtifactVersion, Repository: strings.Join([]string{"acme", name, a.ArtifactName}, "/"),
			Digest: fmt.Sprintf("sha256:%060x%04d", i, len(name)), MediaType: "application/vnd.oci.image.manifest.v1+json", Size: 1234, State: v1alpha1.ArtifactPresent,
		})
	}
	if err := env.Client.Create(ctx, m); err != nil {
		return err
	}
	m.Status.Artifacts = status
	return env.Client.Status().Update(ctx, m)
}

package bench

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

const (
	burst          = 1000 // manifests that are deleted at once
	burstArtifacts = 6    // of each of them
)

// BenchmarkBurst deletes the holders of all manifests at once, which wait for just that, and measures until the last
// manifest has gone.
func BenchmarkBurst(b *testing.B) {
	api := newRecorder()
	s := newSite(b, burst, burstArtifacts, api.wrap)
	floor := s.floor()
	s.block(0, burst)
	s.registry.Forget()
	api.reset()
	start := time.Now()
	var deleting errgroup.Group
	deleting.SetLimit(16)
	for i := range burst {
		deleting.Go(func() error { return env.Client.Delete(b.Context(), s.holder(i)) })
	}
	must(b, deleting.Wait())
	deleted := time.Since(start)
	must(b, wait.PollUntilContextTimeout(b.Context(), 50*time.Millisecond, 10*time.Minute, true, func(ctx context.Context) (bool, error) {
		one := &metav1.PartialObjectMetadataList{} // a look at all would be most of the work
		one.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(v1alpha1.KindArtifactManifest + "List"))
		err := env.Client.List(ctx, one, client.InNamespace(s.ns), client.Limit(1))
		return len(one.Items) == 0, err
	}))
	all := time.Since(start)
	rate := burst / all.Seconds()
	requests := s.registry.Count(func(*http.Request) bool { return true })
	fmt.Printf("burst: %d holders deleted in %s, their manifests of %d artifacts released and gone in %s: %.0f a second; bare HEAD+DELETE of as many tags, one after the other: %.0f a second\n",
		burst, deleted.Round(time.Millisecond), burstArtifacts, all.Round(time.Millisecond), rate, 1/(burstArtifacts*floor.Seconds()))
	fmt.Printf("  for each manifest %.1f requests to the registry, and to the API server %s, which took %s in all\n", float64(requests)/burst, api.perKind(burst), api.times())
	b.ReportMetric(rate, "manifests/s")
	b.ReportMetric(0, "ns/op") // says nothing
}

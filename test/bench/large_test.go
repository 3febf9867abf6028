package bench

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
	"github.com/nfo-operator/nfo/test/environment"
)

const (
	large = 512 // artifacts of one manifest: the maximum
	away  = 20 * time.Millisecond
)

// BenchmarkLargeManifest measures the release and the restore of the largest manifest,
// whose artifacts each have their own repository, with a round-trip time to the registry.
func BenchmarkLargeManifest(b *testing.B) {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "bench-"}}
	must(b, env.Client.Create(b.Context(), ns))
	s := site{b: b, ns: ns.Name, registry: registrytest.Start(b)}
	store := &v1alpha1.ArtifactStore{ObjectMeta: s.meta("acme")}
	store.Spec.Registry.URL = "http://" + far(b, s.registry.Host, away) + "/acme"
	must(b, env.Client.Create(b.Context(), store))
	m := &v1alpha1.ArtifactManifest{ObjectMeta: s.meta("large")}
	m.Spec.ArtifactStoreRef.Name = "acme"
	var pushing errgroup.Group
	pushing.SetLimit(atOnce)
	for i := range large {
		m.Spec.Artifacts = append(m.Spec.Artifacts, v1alpha1.ManifestArtifact{ArtifactName: name(i), ArtifactVersion: "1"})
		pushing.Go(func() error {
			_, err := registrytest.PushImage(b.Context(), s.registry.Host, "acme/large/"+name(i), "1", name(i))
			return err
		})
	}
	must(b, pushing.Wait())
	env.StartManager(b, environment.ManagerOptions{Namespaces: []string{s.ns}, PollsPerSecond: 1000})
	create := func() time.Duration {
		start := time.Now()
		must(b, env.Client.Create(b.Context(), m.DeepCopy()))
		s.until(func(ctx context.Context) (bool, error) {
			var is v1alpha1.ArtifactManifest
			err := env.Client.Get(ctx, client.ObjectKeyFromObject(m), &is)
			there := !slices.ContainsFunc(is.Status.Artifacts, func(a v1alpha1.ArtifactStatus) bool { return a.State != v1alpha1.ArtifactPresent })
			return there && len(is.Status.Artifacts) == large, err
		})
		return time.Since(start)
	}
	create()
	requests := len(s.registry.Requests())
	start := time.Now()
	must(b, env.Client.Delete(b.Context(), m.DeepCopy()))
	s.until(func(ctx context.Context) (bool, error) {
		err := env.Client.Get(ctx, client.ObjectKeyFromObject(m), &v1alpha1.ArtifactManifest{})
		return err != nil && client.IgnoreNotFound(err) == nil, client.IgnoreNotFound(err)
	})
	released := time.Since(start)
	first := len(s.registry.Requests())
	restored := create()
	second := len(s.registry.Requests())
	bare := func(n int) time.Duration { return time.Duration(n) * away / atOnce }
	fmt.Println(strings.Join([]string{
		fmt.Sprintf("a manifest of %d artifacts, the registry %s away:", large, away),
		fmt.Sprintf("  released in %.1f s with %d requests, which take %.1f s, %d at a time", released.Seconds(), first-requests, bare(first-requests).Seconds(), atOnce),
		fmt.Sprintf("  restored and seen in %.1f s with %d requests, which take %.1f s", restored.Seconds(), second-first, bare(second-first).Seconds()),
	}, "\n"))
	b.ReportMetric(released.Seconds(), "release-s")
	b.ReportMetric(restored.Seconds(), "restore-s")
	b.ReportMetric(0, "ns/op") // without meaning here
}

// until polls ten times a second until a condition holds.
func (s site) until(done func(context.Context) (bool, error)) {
	s.b.Helper()
	must(s.b, wait.PollUntilContextTimeout(s.b.Context(), 100*time.Millisecond, 5*time.Minute, true, done))
}

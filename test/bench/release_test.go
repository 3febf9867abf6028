package bench

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
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
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
	"github.com/nfo-operator/nfo/test/environment"
)

const (
	manifests = 1000             // present all the time
	samples   = 200              // released one at a time
	quiet     = 60 * time.Second // how long blocked manifests are watched
)

var env *environment.Environment

func TestMain(m *testing.M) {
	flag.Parse()
	if flag.Lookup("test.bench").Value.String() == "" { // without benchmarks no cluster is needed
		os.Exit(m.Run())
	}
	os.Exit(environment.Main(m, &env))
}

// site is a namespace with manifests, each held by its own definition.
type site struct {
	b        *testing.B
	ns       string
	registry *registrytest.Registry
	// artifacts is the number of artifacts of each manifest, each in its own repository.
	artifacts int
}

// newSite creates manifests that a manager has seen complete and in
// use. If api is not nil, the manager's requests pass through it.
func newSite(b *testing.B, manifests, artifacts int, api environment.Transport) site {
	b.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "bench-"}}
	must(b, env.Client.Create(b.Context(), ns))
	s := site{b: b, ns: ns.Name, registry: registrytest.Start(b), artifacts: artifacts}
	must(b, env.Client.Create(b.Context(), &v1alpha1.ArtifactStore{
		ObjectMeta: s.meta("acme"),
		Spec:       v1alpha1.ArtifactStoreSpec{Registry: v1alpha1.RegistrySpec{URL: s.registry.URL("acme")}},
	}))
	var g errgroup.Group
	g.SetLimit(16)
	for i := range manifests {
		g.Go(func() error { return s.populate(b.Context(), i) })
	}
	must(b, g.Wait())
	env.StartManager(b, environment.ManagerOptions{Namespaces: []string{s.ns}, PollsPerSecond: 1000, API: api})
	must(b, wait.PollUntilContextTimeout(b.Context(), 200*time.Millisecond, 5*time.Minute, true, func(ctx context.Context) (bool, error) {
		var l v1alpha1.ArtifactManifestList
		err := env.Client.List(ctx, &l, client.InNamespace(s.ns))
		ready := 0
		for _, m := range l.Items {
			seen := len(m.Status.Artifacts) == artifacts && !slices.ContainsFunc(m.Status.Artifacts, func(a v1alpha1.ArtifactStatus) bool { return a.Digest == "" })
			if m.Status.DependentCount != nil && *m.Status.DependentCount == 1 && seen {
				ready++
			}
		}
		return ready == manifests, err
	}))
	return s
}

func (s site) meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: s.ns, Name: name}
}

func name(i int) string { return fmt.Sprintf("m%04d", i) }

// repository returns the repository of the first artifact of a manifest.
func repository(i int) string { return "acme/" + name(i) + "/" + artifact(0) }

func artifact(i int) string { return fmt.Sprintf("image%d", i) }

func (s site) populate(ctx context.Context, i int) error {
	m := &v1alpha1.ArtifactManifest{ObjectMeta: s.meta(name(i))}
	m.Spec.ArtifactStoreRef.Name = "acme"
	for j := range s.artifacts {
		if _, err := registrytest.PushImage(ctx, s.registry.Host, "acme/"+name(i)+"/"+artifact(j), "1", name(i)); err != nil {
			return err
		}
		m.Spec.Artifacts = append(m.Spec.Artifacts, v1alpha1.ManifestArtifact{ArtifactName: artifact(j), ArtifactVersion: "1"})
	}
	if err := env.Client.Create(ctx, m); err != nil {
		return err
	}
	d := s.holding(name(i), artifact(0))
	return env.Client.Create(ctx, d)
}

// holding returns a definition that references the manifest of the same name.
func (s site) holding(name, chart string) *v1alpha1.NetworkFunctionDefinitionVersion {
	d := &v1alpha1.NetworkFunctionDefinitionVersion{ObjectMeta: s.meta(name)}
	d.Spec.NetworkFunctionTemplate.NetworkFunctionApplications = []v1alpha1.NetworkFunctionApplication{{
		Name: "app",
		ArtifactProfile: v1alpha1.HelmApplicationProfile{
			ArtifactSource:      v1alpha1.ArtifactSource{ArtifactManifestRef: &v1alpha1.LocalReference{Name: name}},
			HelmArtifactProfile: v1alpha1.HelmArtifactProfile{HelmPackageName: chart, HelmPackageVersionRange: "*"},
		},
	}}
	return d
}

func (s site) holder(i int) *v1alpha1.NetworkFunctionDefinitionVersion {
	return &v1alpha1.NetworkFunctionDefinitionVersion{ObjectMeta: s.meta(name(i))}
}

// block deletes the manifests from..to, which then wait for their holders.
func (s site) block(from, to int) {
	s.b.Helper()
	for i := from; i < to; i++ {
		must(s.b, env.Client.Delete(s.b.Context(), &v1alpha1.ArtifactManifest{ObjectMeta: s.meta(name(i))}))
	}
	must(s.b, wait.PollUntilContextTimeout(s.b.Context(), 100*time.Millisecond, 2*time.Minute, true, func(ctx context.Context) (bool, error) {
		m := &v1alpha1.ArtifactManifest{ObjectMeta: s.meta(name(to - 1))}
		err := env.Client.Get(ctx, client.ObjectKeyFromObject(m), m)
		blocked := slices.ContainsFunc(m.Status.Conditions, func(c metav1.Condition) bool {
			return c.Type == v1alpha1.ConditionDeletionBlocked && c.Status == metav1.ConditionTrue
		})
		return blocked, err
	}))
}

// untagged waits until the registry has received the deletion of a tag. It polls every 2 ms.
func (s site) untagged(i int) {
	s.b.Helper()
	must(s.b, wait.PollUntilContextTimeout(s.b.Context(), 2*time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
		return s.registry.Count(func(r *http.Request) bool {
			return r.Method == http.MethodDelete && strings.HasPrefix(r.URL.Path, "/v2/"+repository(i)+"/")
		}) > 0, nil
	}))
}

// BenchmarkRelease measures the time from the deletion of the last holder to the removal of the tags.
func BenchmarkRelease(b *testing.B) {
	s := newSite(b, manifests, 1, nil)
	floor := s.floor()

	s.block(0, samples)
	s.watchQuiet(samples)

	took := make([]time.Duration, samples)
	for i := range samples {
		start := time.Now()
		must(b, env.Client.Delete(b.Context(), s.holder(i)))
		s.untagged(i)
		took[i] = time.Since(start)
	}
	slices.Sort(took)
	p50, p95, worst := took[samples/2], took[samples*95/100], took[samples-1]
	fmt.Printf("release, one at a time, %d manifests present, %d samples: p50 %s, p95 %s, worst %s; bare HEAD+DELETE %s; p50 is %.0f times that\n",
		manifests, samples, p50.Round(time.Millisecond), p95.Round(time.Millisecond), worst.Round(time.Millisecond), floor.Round(10*time.Microsecond), float64(p50)/float64(floor))
	b.ReportMetric(p95.Seconds(), "p95-s")
}

// watchQuiet counts the requests and passes for blocked manifests while nothing happens (I10).
func (s site) watchQuiet(blocked int) {
	s.b.Helper()
	s.registry.Forget()
	before := environment.Passes(s.b)
	timer := time.NewTimer(quiet)
	<-timer.C
	ours := s.registry.Count(func(r *http.Request) bool {
		for i := range blocked {
			if strings.HasPrefix(r.URL.Path, "/v2/"+repository(i)+"/") {
				return true
			}
		}
		return false
	})
	fmt.Printf("blocked: %d manifests in %s cost %d requests for their repositories and %.0f reconciles\n", blocked, quiet, ours, environment.Passes(s.b)-before)
}

// floor returns the time of the two requests that every untag needs, for images of the same kind.
func (s site) floor() time.Duration {
	s.b.Helper()
	const rounds = 100
	c, err := registry.Open(registry.Config{Location: s.registry.Location("floor")})
	must(s.b, err)
	for i := range rounds {
		_, err := registrytest.PushImage(s.b.Context(), s.registry.Host, "floor/"+name(i), "1", name(i))
		must(s.b, err)
	}
	start := time.Now()
	for i := range rounds {
		_, err := c.Resolve(s.b.Context(), "floor/"+name(i), "1")
		must(s.b, err)
		must(s.b, c.Untag(s.b.Context(), "floor/"+name(i), "1"))
	}
	return time.Since(start) / rounds
}

func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

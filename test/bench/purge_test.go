package bench

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	coordinationv1client "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/livelist"
	"github.com/nfo-operator/nfo/internal/purge"
	"github.com/nfo-operator/nfo/internal/registry"
)

const (
	atOnce       = 8   // concurrent requests, or processes of peers: the default of a store
	spawned      = 100 // digests for a peer that needs a process for each
	entries      = 500 // in one tombstone
	repetitions  = 3
	enough       = 50 * time.Second // after this time a case is not repeated
	collectLimit = 45 * time.Second
	sweepLimit   = 10 * time.Minute // for all cases
)

// The first three have the usual shape, one digest in each repository. If one repository has many tags,
// the registry itself does only about ten deletions per second, so the last load has fewer of both.
var loads = []load{
	{200, 10, 1, 0, 20 * time.Millisecond}, {200, 10, 1, 0, 50 * time.Millisecond}, {200, 10, 1, 0, 0},
	{10, 1, 200, 0, 0}, {10, 1, 200, 100, 0}, {10, 1, 200, 200, 0}, {1, 1, 2000, 0, 0}, {1, 1, 500, 500, 0},
}

// BenchmarkSweep measures a purge of a registry in a separate process, alternating with the
// same requests from a bare client and with other cleaners, each with the same content.
func BenchmarkSweep(b *testing.B) {
	peer(b, "registry")
	ctx, cancel := context.WithTimeout(b.Context(), sweepLimit)
	defer cancel()
	for _, l := range loads {
		b.Run(l.String(), func(b *testing.B) {
			if ctx.Err() != nil {
				b.Skip("the time for all cases is over")
			}
			c := &contest{b: b, ctx: ctx, load: l, stand: newStand(b, l), rates: map[string][]float64{}}
			err := c.run()
			c.print()
			if err != nil && ctx.Err() == nil {
				b.Fatal(err)
			}
		})
	}
}

// contest has the measurements of one load.
type contest struct {
	b     *testing.B
	ctx   context.Context
	load  load
	stand *stand
	order []string // names of the measurements, in order
	rates map[string][]float64

	others        int       // manifests beside those that were released
	registry, api *recorder // of the last purge
	took          time.Duration
}

const (
	ours    = "nfo purge"
	same    = "bare client, the same requests"
	deletes = "bare client, the deletes alone"
	crane   = "crane delete, a process for each of 100"
	regctl  = "regctl manifest delete, likewise"
	garbage = "registry garbage-collect, stopped meanwhile"
)

func (c *contest) run() error {
	steps := []struct {
		name string
		act  func() (float64, error)
	}{
		{ours, c.purge},
		{same, func() (float64, error) { return c.replay(c.registry.requests) }},
		{deletes, func() (float64, error) { return c.replay(c.registry.only(http.MethodDelete)) }},
		{crane, func() (float64, error) { return c.spawn("crane", "delete") }},
		{regctl, func() (float64, error) {
			return c.spawn("regctl", "--host", "reg="+c.stand.host+",tls=disabled", "manifest", "delete")
		}},
	}
	start := time.Now()
	for i := 0; i < repetitions && (i == 0 || time.Since(start) < enough); i++ {
		for _, s := range steps {
			rate, err := s.act()
			if err != nil {
				return fmt.Errorf("measuring %s: %w", s.name, err)
			}
			c.add(s.name, rate)
		}
	}
	rate, done, err := c.stand.collect(c.ctx)
	switch {
	case err != nil:
		return err
	case done:
		c.add(garbage, rate)
	default:
		c.add(garbage+", given up: fewer than", rate)
	}
	return nil
}

func (c *contest) add(name string, rate float64) {
	if c.rates[name] == nil {
		c.order = append(c.order, name)
	}
	c.rates[name] = append(c.rates[name], rate)
}

func (c *contest) rate(took time.Duration) float64 { return float64(c.load.deletes()) / took.Seconds() }

// purge runs a complete `nfo purge`: lease, plan, claims, deletions and status. Only
// the wait of 15 seconds before the second list of the repositories is left out.
func (c *contest) purge() (float64, error) {
	c.b.Helper()
	defer c.stand.serve()()
	ns := c.createTombstones()
	c.registry, c.api = newRecorder(), newRecorder()
	kube := purger(ns)
	kube.QPS = -1 // as in nfo purge
	kube.Wrap(c.api.wrap)
	plain, err := client.New(kube, client.Options{Scheme: env.Client.Scheme()})
	must(c.b, err)
	lists, err := livelist.NewClient(plain, kube, nil)
	must(c.b, err)
	leases, err := coordinationv1client.NewForConfig(kube)
	must(c.b, err)
	start := time.Now()
	report, err := purge.Run(c.ctx, purge.Config{Namespace: ns, Store: "acme", Client: livelist.NewMemory(lists), Leases: leases, Identity: ns, Open: c.open, SecondLook: time.Nanosecond})
	c.took = time.Since(start)
	if n := c.stand.left(); err == nil && (n > 0 || report.Deleted != c.load.deletes()) {
		err = fmt.Errorf("%s; %d digests are left", report.Summary(), n)
	}
	return c.rate(c.took), err
}

func (c *contest) open(_ context.Context, s *v1alpha1.ArtifactStore) (purge.Registry, error) {
	cfg, err := registry.ConfigOf(s, nil)
	if err != nil {
		return nil, err
	}
	cfg.Transport = c.registry.wrap
	return registry.Open(cfg)
}

// createTombstones creates a store and the tombstones of each manifest, with at most entries artifacts in a tombstone.
func (c *contest) createTombstones() (namespace string) {
	c.b.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "bench-"}}
	must(c.b, env.Client.Create(c.b.Context(), ns))
	store := &v1alpha1.ArtifactStore{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns.Name, Name: "acme"},
		Spec:       v1alpha1.ArtifactStoreSpec{Registry: v1alpha1.RegistrySpec{URL: "http://" + c.stand.host + "/acme"}, Purge: v1alpha1.PurgeSpec{Concurrency: atOnce}},
	}
	must(c.b, env.Client.Create(c.b.Context(), store))
	apimeta.SetStatusCondition(&store.Status.Conditions, metav1.Condition{
		Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonReady, ObservedGeneration: store.Generation,
	})
	must(c.b, env.Client.Status().Update(c.b.Context(), store))
	for i := range c.load.manifests {
		each := c.load.artifacts * c.load.released
		for some := range slices.Chunk(c.stand.released[i*each:(i+1)*each], entries) {
			c.tombstone(store, name(i), some)
		}
	}
	c.populate(ns.Name, c.others, imagesBeside)
	return ns.Name
}

// purger returns the configuration of an account that may write tombstones, and in this benchmark everything else.
func purger(namespace string) *rest.Config {
	kube := env.As("system:serviceaccount:" + namespace + ":acme-purge")
	kube.Impersonate.Groups = []string{"system:masters"}
	return kube
}

// tombstone creates a tombstone of tags that were removed 48 hours ago.
func (c *contest) tombstone(store *v1alpha1.ArtifactStore, manifest string, released []target) {
	c.b.Helper()
	t := &v1alpha1.Tombstone{ObjectMeta: metav1.ObjectMeta{Namespace: store.Namespace, GenerateName: manifest + "-"}}
	t.Spec.RegistryURL, t.Spec.Cause = store.Spec.Registry.URL, v1alpha1.CauseReleased
	t.Spec.Manifest = v1alpha1.TombstoneManifest{Name: manifest, UID: types.UID(manifest)}
	t.Spec.Manifest.Spec.ArtifactStoreRef.Name = store.Name
	var status []v1alpha1.TombstoneArtifactStatus
	long := metav1.NewTime(time.Now().Add(-48 * time.Hour))
	for i, r := range released {
		tag := fmt.Sprintf("1.0.%d", i)
		t.Spec.Manifest.Spec.Artifacts = append(t.Spec.Manifest.Spec.Artifacts, v1alpha1.ManifestArtifact{ArtifactName: path.Base(r.repository), ArtifactVersion: tag})
		t.Spec.Artifacts = append(t.Spec.Artifacts, v1alpha1.TombstoneArtifact{Repository: r.repository, Tag: tag, Digests: []string{r.digest.String()}})
		status = append(status, v1alpha1.TombstoneArtifactStatus{Repository: r.repository, Tag: tag, UntaggedAt: &long, State: v1alpha1.TombstoneUntagged})
	}
	operator, err := client.New(purger(store.Namespace), client.Options{Scheme: env.Client.Scheme()})
	must(c.b, err)
	must(c.b, operator.Create(c.b.Context(), t))
	t.Status.Artifacts = status
	t.Summarise()
	must(c.b, operator.Status().Update(c.b.Context(), t))
}

func (c *contest) replay(requests []seen) (float64, error) {
	c.b.Helper()
	defer c.stand.serve()()
	took, err := replay(c.ctx, c.stand.host, requests, c.load.deletes())
	return c.rate(took), err
}

// spawn measures a peer that needs a process for each digest.
func (c *contest) spawn(program string, args ...string) (float64, error) {
	c.b.Helper()
	defer c.stand.serve()()
	argv := append([]string{peer(c.b, program)}, args...)
	rate, err := each(c.ctx, c.b.TempDir(), c.stand.released[:spawned], func(t target) []string {
		return append(slices.Clone(argv), c.stand.host+"/"+t.repository+"@"+t.digest.String())
	})
	if n := c.stand.left(); err == nil && n != c.load.deletes()-spawned {
		err = fmt.Errorf("%d digests are left after %d were deleted", n, spawned)
	}
	return rate, err
}

// print writes the table of one load. Its ratios are ratios of medians.
func (c *contest) print() {
	fmt.Printf("\n%s, %d digests to delete, %d requests at once, load average %s\n", strings.ReplaceAll(c.load.String(), "/", ", "), c.load.deletes(), atOnce, loadAverage())
	if c.ctx.Err() != nil {
		fmt.Println("  the time for all cases is over; this is what there is")
	}
	if len(c.rates[ours]) == 0 {
		return
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "  CLEANER\tDIGESTS/S\tFROM-TO\tRUNS\tNFO IS AT")
	us := median(c.rates[ours])
	for _, who := range c.order {
		all := c.rates[who]
		fmt.Fprintf(table, "  %s\t%.0f\t%.0f-%.0f\t%d\t%.2f\n", who, median(all), slices.Min(all), slices.Max(all), len(all), us/median(all))
	}
	must(c.b, table.Flush())
	requests := float64(len(c.registry.requests)) / float64(c.load.deletes())
	fmt.Printf("  nfo's requests to the registry for each deleted digest: %.2f (%s)\n", requests, c.registry.perKind(c.load.deletes()))
	fmt.Printf("  nfo's %d requests to the API server: %s\n", len(c.api.requests), c.api.times())
	fmt.Printf("  nfo's last run took %s: for %s the registry worked for it, for %s the API server\n",
		c.took.Round(time.Millisecond), c.registry.busy.Round(time.Millisecond), c.api.busy.Round(time.Millisecond))
	c.b.ReportMetric(us, "digests/s")
	c.b.ReportMetric(requests, "requests/digest")
	c.b.ReportMetric(0, "ns/op") // without meaning here
	if bare := c.rates[same]; len(bare) > 0 {
		c.b.ReportMetric(us/median(bare), "of-bare")
	}
}

func median[T float64 | time.Duration](all []T) T {
	sorted := slices.Sorted(slices.Values(all))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// loadAverage returns the load average of the last minute, or "unknown" if the system has none.
func loadAverage() string {
	data, _ := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(data), " ")
	return cmp.Or(first, "unknown")
}

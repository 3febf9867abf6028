package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/test/environment"
)

const (
	preflightRounds  = 5
	preflightSamples = 100 // of each kind, in each round
)

// population is a namespace with manifests, each held by its own definition, which no
// controller changes. It may have the webhooks of a manager that watches only this namespace.
type population struct {
	b    *testing.B
	api  client.Client
	ns   string
	size int
	// took has the median and the 99th percentile of each round, by kind of deletion.
	took map[string]*percentiles
}

type percentiles struct{ p50, p99 []time.Duration }

// BenchmarkPreflight measures refused and admitted deletions through the API server, with few and with many objects,
// alternating with deletions that no webhook sees. It also measures the memory of the cache. NFO_BENCH_MANIFESTS sets other
// sizes.
func BenchmarkPreflight(b *testing.B) {
	kube := rest.CopyConfig(env.Admin)
	kube.QPS = -1
	api, err := client.New(kube, client.Options{Scheme: env.Client.Scheme()})
	must(b, err)
	unwatched := newPopulation(b, api, 0)
	var watched []*population
	for _, size := range sizes(b) {
		p := newPopulation(b, api, size)
		p.watch()
		watched = append(watched, p)
	}
	for range preflightRounds {
		unwatched.measure("admitted", unwatched.deleteFree)
		for _, p := range watched {
			p.measure("refused", p.deleteHeld)
			p.measure("admitted", p.deleteFree)
		}
	}
	floor := median(unwatched.took["admitted"].p50)
	fmt.Printf("delete that no webhook watches: p50 %s, p99 %s\n", round(floor), round(median(unwatched.took["admitted"].p99)))
	smallest := watched[0]
	for _, p := range watched {
		for _, kind := range []string{"refused", "admitted"} {
			p50 := median(p.took[kind].p50)
			fmt.Printf("delete %s by the pre-flight, %d manifests: p50 %s, p99 %s; p50 is %s above the one that no webhook watches, and %.2f times that with %d manifests\n",
				kind, p.size, round(p50), round(median(p.took[kind].p99)), round(p50-floor), float64(p50)/float64(median(smallest.took[kind].p50)), smallest.size)
		}
	}
}

// sizes returns the numbers of manifests, in ascending order.
func sizes(b *testing.B) []int {
	b.Helper()
	var all []int
	for text := range strings.SplitSeq(cmp.Or(os.Getenv("NFO_BENCH_MANIFESTS"), "100,10000"), ",") {
		n, err := strconv.Atoi(text)
		must(b, err)
		all = append(all, n)
	}
	slices.Sort(all)
	return all
}

func newPopulation(b *testing.B, api client.Client, size int) *population {
	b.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "preflight-"}}
	must(b, api.Create(b.Context(), ns))
	p := &population{b: b, api: api, ns: ns.Name, size: size, took: map[string]*percentiles{}}
	began := time.Now()
	const pairs = 50
	var g errgroup.Group
	g.SetLimit(8)
	for from := 0; from < size; from += pairs {
		g.Go(func() error {
			var all []client.Object
			for i := from; i < min(from+pairs, size); i++ {
				all = append(all, p.objects(i)...)
			}
			return env.Put(b.Context(), all...)
		})
	}
	must(b, g.Wait())
	if size > 0 {
		p.known()
		fmt.Printf("%d manifests, each with its definition, made in %s\n", size, time.Since(began).Round(time.Second))
	}
	return p
}

// known waits until the API server has the objects in its watch cache, as one that has run for a while.
func (p *population) known() {
	p.b.Helper()
	last := &client.ListOptions{
		Namespace: p.ns, FieldSelector: fields.OneTermEqualSelector("metadata.name", p.manifest(fmt.Sprintf("m%06d", p.size-1)).Name),
		Raw: &metav1.ListOptions{ResourceVersion: "0"},
	}
	must(p.b, wait.PollUntilContextTimeout(p.b.Context(), 100*time.Millisecond, 5*time.Minute, true, func(ctx context.Context) (bool, error) {
		var ms v1alpha1.ArtifactManifestList
		var ds v1alpha1.NetworkFunctionDefinitionVersionList
		err := errors.Join(p.api.List(ctx, &ms, last), p.api.List(ctx, &ds, last))
		return len(ms.Items)+len(ds.Items) == 2, err
	}))
}

func (p *population) manifest(name string) *v1alpha1.ArtifactManifest {
	m := &v1alpha1.ArtifactManifest{ObjectMeta: metav1.ObjectMeta{Namespace: p.ns, Name: name}}
	m.Spec.ArtifactStoreRef.Name = "acme"
	m.Spec.Artifacts = []v1alpha1.ManifestArtifact{{ArtifactName: "chart", ArtifactVersion: "1.0.0"}, {ArtifactName: "image", ArtifactVersion: "1.0.0"}}
	return m
}

// objects returns a manifest and its definition as they are after the controllers have seen them.
func (p *population) objects(i int) []client.Object {
	m := p.manifest(fmt.Sprintf("m%06d", i))
	d := site{ns: p.ns}.holding(m.Name, "chart")
	for j, o := range []client.Object{m, d} {
		o.SetUID(types.UID(fmt.Sprintf("%s-%d-%012d", p.ns, j, i)))
		o.SetGeneration(1)
		o.SetCreationTimestamp(metav1.Now())
		o.SetFinalizers([]string{v1alpha1.Finalizer})
	}
	conditions := func(kinds ...string) (all []metav1.Condition) {
		for _, t := range kinds {
			all = append(all, metav1.Condition{Type: t, Status: metav1.ConditionTrue, Reason: "Complete", Message: "All 2 artifacts are in the registry.", LastTransitionTime: metav1.Now(), ObservedGeneration: 1})
		}
		return all
	}
	m.Spec.ArtifactManifestState, m.Spec.UploadPath = v1alpha1.ManifestUploading, v1alpha1.ManifestScoped
	m.Status.Conditions = conditions(v1alpha1.ConditionReady, v1alpha1.ConditionUploaded, v1alpha1.ConditionReferenced)
	for j := range m.Spec.Artifacts {
		a := &m.Spec.Artifacts[j]
		a.ArtifactType = "OCIArtifact"
		m.Status.Artifacts = append(m.Status.Artifacts, v1alpha1.ArtifactStatus{
			ArtifactName: a.ArtifactName, ArtifactVersion: a.ArtifactVersion, Repository: "acme/" + m.Name + "/" + a.ArtifactName,
			Digest: fmt.Sprintf("sha256:%064x", i), MediaType: "application/vnd.oci.image.manifest.v1+json", Size: 1234, State: v1alpha1.ArtifactPresent,
		})
	}
	m.Status.DependentCount = new(int32(1))
	m.Status.Dependents.Dependents = []v1alpha1.Dependent{{Kind: v1alpha1.KindDefinition, Namespace: p.ns, Name: m.Name, Artifacts: []string{"chart:~1.0.0"}}}
	d.Spec.VersionState = v1alpha1.VersionPreview
	d.Status.Conditions = conditions(v1alpha1.ConditionReady, v1alpha1.ConditionResolved, v1alpha1.ConditionReferenced)
	return []client.Object{m, d}
}

// watch starts a manager that never becomes the leader, so that its webhooks answer while its
// controllers do nothing. It prints how long the manager takes to answer, and the size of its cache.
func (p *population) watch() {
	p.b.Helper()
	lease := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: v1alpha1.ManagerNamespace, Name: v1alpha1.ManagerName},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: new("bench"), LeaseDurationSeconds: new(int32(86400)), RenewTime: &metav1.MicroTime{Time: time.Now()}},
	}
	must(p.b, client.IgnoreAlreadyExists(p.api.Create(p.b.Context(), lease)))
	p.b.Cleanup(func() { _ = p.api.Delete(context.WithoutCancel(p.b.Context()), lease) }) // two populations share the lease
	before := heap()
	began := time.Now()
	env.StartManager(p.b, environment.ManagerOptions{Namespaces: []string{p.ns}, Webhooks: true, Elect: true})
	must(p.b, wait.PollUntilContextTimeout(p.b.Context(), 20*time.Millisecond, 5*time.Minute, true, func(ctx context.Context) (bool, error) {
		return apierrors.IsConflict(p.api.Delete(ctx, p.manifest("m000000"), client.DryRunAll)), nil
	}))
	took := time.Since(began)
	weight := heap() - before
	fmt.Printf("%d manifests: the webhooks answer %s after the start; the cache weighs %.1f MiB, %.2f KiB for each manifest with its definition\n",
		p.size, round(took), float64(weight)/(1<<20), float64(weight)/1024/float64(p.size))
}

// heap returns the bytes in use after a forced collection.
func heap() int64 {
	runtime.GC()
	runtime.GC() // frees what the first collection finalized
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// measure times one kind of deletion a number of times.
func (p *population) measure(kind string, do func(i int) time.Duration) {
	p.b.Helper()
	all := make([]time.Duration, preflightSamples)
	for i := range all {
		all[i] = do(i)
	}
	slices.Sort(all)
	if p.took[kind] == nil {
		p.took[kind] = &percentiles{}
	}
	t := p.took[kind]
	t.p50, t.p99 = append(t.p50, all[len(all)/2]), append(t.p99, all[len(all)*99/100])
}

// deleteHeld tries to delete a held manifest, another one at each call.
func (p *population) deleteHeld(i int) time.Duration {
	p.b.Helper()
	m := p.manifest(fmt.Sprintf("m%06d", i*p.size/preflightSamples))
	began := time.Now()
	err := p.api.Delete(p.b.Context(), m)
	took := time.Since(began)
	if !apierrors.IsConflict(err) {
		p.b.Fatalf("a deletion that has to be refused is answered: %v", err)
	}
	return took
}

// deleteFree deletes a manifest that has no holder.
func (p *population) deleteFree(int) time.Duration {
	p.b.Helper()
	m := p.manifest("free")
	must(p.b, p.api.Create(p.b.Context(), m))
	began := time.Now()
	must(p.b, p.api.Delete(p.b.Context(), m))
	return time.Since(began)
}

func round(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }

package bench

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/workload"
)

const (
	pods        = 10_000
	replicaSets = 2_000
	tenantsOf   = 20 // namespaces of the pods and ReplicaSets
)

// padding makes a pod as large as in a typical cluster, about 6 KiB.
var padding = func() map[string]string {
	all := map[string]string{}
	for i := range 40 {
		all[fmt.Sprintf("example.com/annotation-%d", i)] = "a value as operators write them into their pods, with a hundred characters or so, again and again"
	}
	return all
}()

func templateOf(i int) corev1.PodSpec {
	return corev1.PodSpec{
		Containers: []corev1.Container{
			{Name: "web", Image: fmt.Sprintf("registry.example.com/acme/m%04d/web:1", i%replicaSets)},
			{Name: "sidecar", Image: "other.example.com/mesh/proxy:1.20"},
		},
		InitContainers: []corev1.Container{{Name: "init", Image: fmt.Sprintf("registry.example.com/acme/m%04d/init:1", i%replicaSets)}},
	}
}

// populateWorkloads creates ReplicaSets, and pods that they own.
func populateWorkloads(b *testing.B) {
	b.Helper()
	for i := range tenantsOf {
		must(b, client.IgnoreAlreadyExists(env.Client.Create(b.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("ran-%d", i)}})))
	}
	labels := map[string]string{"app": "web"}
	owners := make([]*appsv1.ReplicaSet, replicaSets)
	var making errgroup.Group
	making.SetLimit(16)
	for i := range owners {
		making.Go(func() error {
			owners[i] = &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Namespace: fmt.Sprintf("ran-%d", i%tenantsOf), Name: fmt.Sprintf("web-%d", i)}}
			owners[i].Spec = appsv1.ReplicaSetSpec{Replicas: new(int32(0)), Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: templateOf(i)}}
			return env.Client.Create(b.Context(), owners[i])
		})
	}
	must(b, making.Wait())
	for i := range pods {
		making.Go(func() error {
			o := owners[i%replicaSets]
			p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: o.Namespace, Name: fmt.Sprintf("web-%d", i), Annotations: padding}, Spec: templateOf(i)}
			p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: o.Name, UID: o.UID, Controller: new(true)}}
			p.Finalizers = []string{"example.com/keep"} // the controller wants none, and must not delete it
			return env.Client.Create(b.Context(), p)
		})
	}
	must(b, making.Wait())
}

// peak records the peak of the memory in use until it is stopped.
func peak() (stop func() uint64) {
	var most atomic.Uint64
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most.Store(max(most.Load(), m.HeapAlloc))
			select {
			case <-tick.C:
			case <-done:
				return
			}
		}
	}()
	return func() uint64 {
		close(done)
		<-ended
		return most.Load()
	}
}

// BenchmarkWorkloads reads which artifacts of a store 10,000 pods and 2,000
// ReplicaSets use, compared with plain lists of both by a typed client.
func BenchmarkWorkloads(b *testing.B) {
	populateWorkloads(b)
	through, err := rest.HTTPClientFor(env.Admin)
	must(b, err)
	reader, err := workload.NewReader(env.Admin, through, nil, clock.RealClock{}, time.Now)
	must(b, err)
	s := &v1alpha1.ArtifactStore{}
	s.Spec.Registry.URL = "https://registry.example.com/acme"
	s.Spec.Workloads = &v1alpha1.WorkloadsSpec{Sources: []v1alpha1.WorkloadSource{v1alpha1.WorkloadPods, v1alpha1.WorkloadControllers}}
	for b.Loop() {
		bare := timed(b, func() error {
			for _, l := range []client.ObjectList{&corev1.PodList{}, &appsv1.ReplicaSetList{}} {
				for token := ""; ; {
					if err := env.Client.List(b.Context(), l, client.Limit(500), client.Continue(token)); err != nil {
						return err
					}
					if token = l.GetContinue(); token == "" {
						break
					}
				}
			}
			return nil
		})
		runtime.GC()
		var before runtime.MemStats
		runtime.ReadMemStats(&before)
		stop := peak()
		var reading *workload.Reading
		took := timed(b, func() (err error) {
			reading, err = reader.Read(b.Context(), s)
			return err
		})
		most := stop()
		must(b, reading.Unreadable())
		for _, source := range reading.Sources {
			b.Logf("%s: %d objects, %d uses", source.Name, source.Objects, source.Uses)
		}
		b.ReportMetric(took.Seconds(), "s")
		b.ReportMetric(took.Seconds()/bare.Seconds(), "times-bare-lists")
		b.ReportMetric(float64(most-min(most, before.HeapAlloc))/(1<<20), "MiB-more")
	}
}

func timed(b *testing.B, do func() error) time.Duration {
	b.Helper()
	start := time.Now()
	must(b, do())
	return time.Since(start)
}

package hostile

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/chart"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

// attacker is a tenant with a hostile registry.
type attacker struct {
	*tenant
	attack   registrytest.Attack
	provoked bool
}

// settle creates the tenant's objects and waits until they are ready, so
// that the attack meets every kind of request and not only the first.
func settle(n *tenant) {
	n.t.Helper()
	n.create(n.store("acme", "acme"))
	var all []*v1alpha1.ArtifactManifest
	for _, name := range []string{"released", "restored", "purged", "kept"} {
		n.push(name, "a")
		all = append(all, n.manifest(name, "a"))
	}
	_, err := registrytest.PushArtifact(n.t.Context(), n.registry.Host, "acme/chart/app", "1", chart.ConfigMediaType, chart.ContentMediaType, []byte(`{"name":"app"}`), []byte("no archive"))
	n.Expect(err).NotTo(gomega.HaveOccurred())
	all = append(all, n.manifest("chart", "app"))
	for _, m := range all {
		n.create(m)
	}
	for _, m := range all {
		n.eventually(m, v1alpha1.ConditionUploaded, "True/Complete")
	}
	for _, m := range all[1:3] {
		n.delete(m)
		n.goes(m)
	}
	var graves v1alpha1.TombstoneList
	n.Expect(shared.Client.List(n.t.Context(), &graves, client.InNamespace(n.ns))).To(gomega.Succeed())
	for i := range graves.Items {
		if g := &graves.Items[i]; g.Spec.Manifest.Name == "purged" {
			n.Expect(shared.Client.Patch(n.t.Context(), g, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"annotations":{"`+v1alpha1.AnnotationExpireNow+`":""}}}`)))).To(gomega.Succeed())
		}
	}
}

// provoke starts the attack and makes the manager poll, release, restore, ping and read charts in the hostile registry.
func (h *attacker) provoke() {
	h.t.Helper()
	h.registry.Forget()
	h.registry.Attack(h.attack)
	if h.provoked { // the manager is already busy with the rest
		h.delete(h.manifest("restored"))
		return
	}
	h.provoked = true
	h.create(h.manifest("polled", "a", "b", "c"), h.manifest("restored", "a"), h.store("pinged", "pinged"), h.definition("app", "chart", "app"))
	h.delete(h.manifest("released"))
}

// Whatever registries answer, neither the manager nor a purge uses more memory than its container has. Another
// tenant's uploads are detected, its deletions end, its releases are restored, and its new stores become ready.
func TestRegistriesStopNobodyElse(t *testing.T) {
	manager := startManager(t)
	good := newTenant(t)
	alone, rounds := waits{}, 1
	alone.add(good.works(0))
	var all []*attacker
	for _, attack := range registrytest.Start(t).Attacks() {
		n := newTenant(t)
		if attack.Name == "long media type" { // some of its answers are true, so it needs the tenant's registry
			attack = n.registry.LongType()
		}
		settle(n)
		all = append(all, &attacker{tenant: n, attack: attack})
	}
	t.Logf("%d hostile registries; the manager has had %d MiB so far", len(all), manager.used()>>20)

	last := 20 * time.Second
	if long {
		last = lasting
		rounds = oneByOne(good, all, manager)
	}
	ctx, cancel := context.WithTimeout(t.Context(), last)
	defer cancel()
	for _, h := range all {
		h.provoke()
	}
	purged := purgeAll(ctx, t, all)
	beside, first := waits{}, rounds
	for ; rounds == first || ctx.Err() == nil; rounds++ {
		beside.add(good.works(rounds))
		manager.alive()
	}
	most := <-purged
	manager.alive()
	t.Logf("alone: %v; beside %d hostile registries, the slowest of %d: %v", alone.slowest(), len(all), rounds-first, beside.slowest())
	t.Logf("the manager had at most %d of %d MiB, a purge %d of %d MiB", manager.used()>>20, managerMemory>>20, most>>20, purgeMemory>>20)
	for _, h := range all { // each was asked, and can still be given up
		h.Expect(h.registry.Count(nil)).To(gomega.BeNumerically(">", 0))
		m := h.manifest("kept")
		h.Expect(shared.Client.Get(t.Context(), key(m), m)).To(gomega.Succeed())
		m.Annotations = map[string]string{v1alpha1.AnnotationOnDelete: v1alpha1.OnDeleteOrphan}
		h.Expect(shared.Client.Update(t.Context(), m)).To(gomega.Succeed())
		h.delete(m)
		h.goes(m)
	}
	manager.alive()
	manager.stop() // before the registries, which wait for open requests
}

// oneByOne logs how long another tenant waits just before each hostile registry starts its attack and during the
// attack, in five rounds each, with the CPU time that the manager used meanwhile, because all processes of the test
// share the machine. Afterwards the registry answers correctly again. It returns the number of the next round.
func oneByOne(good *tenant, all []*attacker, manager *process) int {
	good.t.Helper()
	rounds := 1
	series := func() (waits, float64) {
		w, begun, before := waits{}, time.Now(), manager.processor()
		for range 5 {
			w.add(good.works(rounds))
			rounds++
		}
		return w, float64(manager.processor()-before) / float64(time.Since(begun))
	}
	for _, h := range all {
		alone, idle := series()
		h.provoke()
		beside, busy := series()
		manager.alive()
		h.registry.Intercept(nil)
		good.t.Logf("beside %q: usually %v, times %s; the slowest %v; the manager took %.2f of a processor, alone %.2f",
			h.attack.Name, beside.usual(), beside.over(alone), beside.slowest(), busy, idle)
	}
	return rounds
}

// purgeAll purges the stores of hostile registries in random order, three at a time, each for a limited
// time, until all are purged or ctx ends. The channel receives the largest memory that one purge used.
func purgeAll(ctx context.Context, t *testing.T, all []*attacker) <-chan int64 {
	t.Helper()
	const atOnce = 3
	each := 6 * time.Second
	if long {
		each = time.Minute
	}
	done, todo := make(chan int64, 1), make(chan *attacker, len(all))
	for _, i := range rand.Perm(len(all)) { // otherwise ctx would always end before the same ones
		todo <- all[i]
	}
	close(todo)
	var mu sync.Mutex
	var most int64
	var left []string // not purged
	who := ""
	var running sync.WaitGroup
	for range atOnce {
		running.Go(func() {
			for h := range todo {
				if ctx.Err() != nil {
					mu.Lock()
					left = append(left, h.attack.Name)
					mu.Unlock()
					continue
				}
				limited, cancel := context.WithTimeout(ctx, each)
				used := purge(limited, t, h.ns, "acme")
				cancel()
				mu.Lock()
				if used > most {
					most, who = used, h.attack.Name
				}
				mu.Unlock()
			}
		})
	}
	go func() {
		running.Wait()
		fmt.Printf("the purge with the most memory met %q; not purged: %q\n", who, left)
		done <- most
	}()
	return done
}

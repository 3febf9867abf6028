package integration

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
	"github.com/nfo-operator/nfo/test/environment"
)

// liesTake is the duration of lies that are limited by time.
const liesTake = 10 * time.Second

// doses says how often or how long a registry lies.
var doses = map[string]func(*registrytest.Liar){
	"once":     func(l *registrytest.Liar) { l.Times(1) },
	"twice":    func(l *registrytest.Liar) { l.Times(2) },
	"for 10 s": func(l *registrytest.Liar) { l.For(liesTake) },
}

// Registries give every kind of false answer to every kind of request, in every phase of a manifest's
// life. Nothing that is referenced is lost, every release can be restored, and everything else is
// deleted in the end. Without NFO_LIES the test tries only a few combinations, each with one dose.
func TestI2RegistriesThatLie(t *testing.T) {
	t.Parallel()
	whole := os.Getenv("NFO_LIES") != ""
	// Stores are compared with each other, so too many at the same time
	// are slow. They start one after another, because there are few CPUs.
	var all errgroup.Group
	all.SetLimit(150)
	var ran atomic.Int64
	for a, ask := range registrytest.Asks() {
		s := newScene(t)
		s.manage(scheduled, func(o *environment.ManagerOptions) { o.SecondLook = registry.SecondLook })
		for n, lie := range registrytest.Lies() {
			for i, dose := range slices.Sorted(maps.Keys(doses)) {
				if !lie.Fits(ask) || (!whole && ((n+a)%5 != 0 || (n/5+a)%len(doses) != i)) {
					continue
				}
				l := newLife(s, fmt.Sprintf("m%d%s", n, dose[:2]), &ran, ask, lie, dose)
				all.Go(func() error {
					if err := errors.Join(l.live(t.Context()), env.Client.Delete(t.Context(), l.store(l.name))); err != nil {
						t.Errorf("%s to %s, %s: %v", lie.Name, ask, dose, err)
					}
					return nil
				})
				if err := pause(t.Context(), 300*time.Millisecond); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	_ = all.Wait()
	if ran.Load() == 0 {
		t.Error("every purge was refused while registries lied")
	}
}

func newLife(s *scene, name string, ran *atomic.Int64, ask registrytest.Ask, lie registrytest.Lie, dose string) *life {
	r := registrytest.Start(s.t)
	if ask == registrytest.AskList || ask == registrytest.AskEverything {
		r.ServeACR()
	}
	own := *s
	own.registry, own.inside = r, r
	l := &life{scene: &own, name: name, liar: registrytest.NewLiar(r, ask, lie), lie: doses[dose], lists: []string{"image:1", "image:2", "index:1"}, truth: map[string]string{}, ran: ran}
	if ask == registrytest.AskBlob {
		l.lists = append(l.lists, "chart:1.0.0")
	}
	return l
}

package integration

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
	"github.com/nfo-operator/nfo/test/environment"
)

// liesTake is how long a registry lies that does not only lie to some requests.
const liesTake = 10 * time.Second

// doses are how much a registry lies.
var doses = map[string]func(*registrytest.Liar){
	"once":     func(l *registrytest.Liar) { l.Times(1) },
	"twice":    func(l *registrytest.Liar) { l.Times(2) },
	"for 10 s": func(l *registrytest.Liar) { l.For(liesTake) },
}

// Every kind of answer that is not true, to every kind of request, in every phase of a manifest's life: nothing
// that anything reaches is lost, every undo works, and everything else goes in the end.
// Without NFO_LIES only one dose of each lie is tried.
func TestI2RegistriesThatLie(t *testing.T) {
	t.Parallel()
	whole := os.Getenv("NFO_LIES") != ""
	var all sync.WaitGroup
	for _, ask := range registrytest.Asks() {
		s := newScene(t)
		s.manage(scheduled, func(o *environment.ManagerOptions) { o.SecondLook = registry.SecondLook })
		for n, lie := range registrytest.Lies() {
			for i, dose := range slices.Sorted(maps.Keys(doses)) {
				if !lie.Fits(ask) || (!whole && (n+len(ask))%len(doses) != i) {
					continue
				}
				l := newLife(s, fmt.Sprintf("m%d%s", n, dose[:2]), ask, lie, dose)
				all.Go(func() {
					if err := l.live(t.Context()); err != nil {
						t.Errorf("%s to %s, %s: %v", lie.Name, ask, dose, err)
					}
				})
				// They are not to do the same at the same moment: there are few processors.
				if err := pause(t.Context(), 300*time.Millisecond); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	all.Wait()
}

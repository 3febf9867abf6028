package integration

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

// stranger tags released digests whose grace period is over, as a third party:
// some of those that wait for a purge, and every digest that a purge has claimed.
type stranger struct {
	*scene
	tally *tally
	// kept has the repository and tag of each digest that the registry let it tag.
	kept map[string][2]string
}

func (x *stranger) run(ctx context.Context, over func() bool) error {
	tagged, early := map[string]bool{}, map[string]bool{}
	for !over() {
		var l v1alpha1.TombstoneList
		if err := env.Client.List(ctx, &l, client.InNamespace(x.ns)); err != nil {
			return err
		}
		for _, t := range l.Items {
			for _, a := range t.Spec.Artifacts {
				d, e := a.Digests[len(a.Digests)-1], t.Entry(a.Repository, a.Tag)
				end, known := t.GraceEnds(e, 0)
				if !known || time.Now().Before(end) || tagged[d] {
					continue
				}
				if _, met := early[d]; !met {
					early[d] = rand.IntN(8) == 0
				}
				if e.State != v1alpha1.TombstoneSweeping && !early[d] {
					continue
				}
				tagged[d] = true
				tag := "kept-" + d[len("sha256:"):][:12]
				if retag(x.inside, a.Repository, d, tag) != http.StatusCreated {
					x.tally.late.Add(1)
					continue
				}
				x.tally.retags.Add(1)
				x.kept[d] = [2]string{a.Repository, tag}
			}
		}
		if err := pause(ctx, rand.N(20*time.Millisecond)); err != nil {
			return err
		}
	}
	return nil
}

// returner overwrites the tag of an applied manifest and soon
// afterwards pushes the old content again, which is released by then.
type returner struct {
	*writer
	lost int
}

func (x *returner) run(ctx context.Context, over func() bool) error {
	if err := x.apply(ctx); err != nil {
		return err
	}
	for !over() {
		old, seed := x.believes["image:1"], fmt.Sprintf("%s %s %d", x.name, "image:1", x.serial)
		if err := x.push(ctx, "image:1"); err != nil {
			return err
		}
		if err := x.noticed(ctx, old); err != nil {
			return fmt.Errorf("waiting until the tag is seen to have moved: %w", err)
		}
		if err := pause(ctx, rand.N(300*time.Millisecond)); err != nil {
			return err
		}
		if _, err := registrytest.PushImage(ctx, x.inside.Host, repository(x.name, "image"), "1", seed); err != nil {
			return err
		}
		x.tally.back.Add(1)
		if err := pause(ctx, time.Second); err != nil {
			return err
		}
		if _, err := pull(x.inside, repository(x.name, "image"), "1"); err != nil {
			x.lost++
		}
		if err := x.push(ctx, "image:1"); err != nil { // and then something new
			return err
		}
	}
	return nil
}

// noticed makes the manager poll the manifest, and waits until the status no longer has the digest.
func (x *returner) noticed(ctx context.Context, old string) error {
	m := x.manifest(x.name)
	if err := env.Client.Get(ctx, client.ObjectKeyFromObject(m), m); err != nil {
		return err
	}
	m.Spec.Artifacts = append(m.Spec.Artifacts[1:], m.Spec.Artifacts[0])
	if err := env.Client.Update(ctx, m); client.IgnoreNotFound(err) != nil && !strings.Contains(err.Error(), "modified") {
		return err
	}
	return eventually(ctx, func(ctx context.Context) (bool, error) {
		if err := env.Client.Get(ctx, client.ObjectKeyFromObject(m), m); err != nil {
			return false, err
		}
		for _, a := range m.Status.Artifacts {
			if a.Digest == old {
				return false, nil
			}
		}
		return true, nil
	})
}

// Third parties tag released digests while purges delete them, and a publisher pushes content again
// that it has overwritten. Registries have no compare-and-set, so there is a short time between the
// last check and the deletion. The test logs what is lost in this time, and does not fail for it.
func TestSoakTheWindowThatRemains(t *testing.T) {
	s := newScene(t)
	s.manage(scheduled)
	s.scheduledStore(noGrace)
	sum := &tally{}
	strangers := []*stranger{{s, sum, map[string][2]string{}}, {s, sum, map[string][2]string{}}}
	back := &returner{writer: newWriter(s, 9, sum)}
	s.soak(soakFor(t)/2, sum, []*atomic.Int64{&sum.retags, &sum.back}, newWriter(s, 0, sum).run, newWriter(s, 1, sum).run,
		newWriter(s, 2, sum).run, strangers[0].run, strangers[1].run, back.run)
	lost, broken := 0, 0
	for _, x := range strangers {
		for d, k := range x.kept {
			got, err := pull(s.inside, k[0], k[1])
			switch {
			case got == "":
				lost++
			case got != d || err != nil:
				broken++
			}
		}
	}
	t.Logf("strangers tagged %d released digests behind our back and came too late for %d; %d of these tags were lost and %d are not whole",
		sum.retags.Load(), sum.late.Load(), lost, broken)
	t.Logf("a publisher pushed released bytes again %d times; %d of these pushes were lost", sum.back.Load(), back.lost)
}

package recovery

import (
	"testing"

	"github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// each runs do, in one subtest for each kind, with a new publisher.
func each(t *testing.T, do func(p *publisher, kind string)) {
	t.Helper()
	for _, kind := range v1alpha1.Kinds() {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			s.manage()
			p := newPublisher(s, nil)
			do(p, kind)
			p.lifeGoesOn()
		})
	}
}

// of returns the objects of a kind as the publisher applies them. Other
// objects, such as tombstones, it returns as they are, without finalizers.
func (p *publisher) of(kind string) (all []client.Object) {
	p.t.Helper()
	for _, o := range p.list(p.t.Context(), kind) {
		at := &unstructured.Unstructured{Object: o.Object}
		for _, a := range p.applied() {
			if a.GetName() == o.GetName() && kindOf(a) == kind {
				a.SetResourceVersion(o.GetResourceVersion())
				all = append(all, a)
				at = nil
				break
			}
		}
		if at != nil {
			at.SetFinalizers(nil)
			all = append(all, at)
		}
	}
	return all
}

func kindOf(o client.Object) string {
	gvk, err := env.Client.GroupVersionKindFor(o)
	if err != nil {
		return ""
	}
	return gvk.Kind
}

// `kubectl replace` removes finalizers, labels and annotations that the
// file in Git does not contain. The finalizers must be added again.
func TestI1ObjectsThatAreReplaced(t *testing.T) {
	each(t, func(p *publisher, kind string) {
		guarded := map[string]bool{}
		for _, o := range p.list(p.t.Context(), kind) {
			guarded[o.GetName()] = len(o.GetFinalizers()) > 0
		}
		p.Eventually(func() (err error) {
			for _, o := range p.of(kind) {
				if err = env.Client.Update(p.t.Context(), o); err != nil {
					return err
				}
			}
			return nil
		}).Should(gomega.Succeed())
		p.Eventually(func() (bare []string) {
			for _, o := range p.list(p.t.Context(), kind) {
				if guarded[o.GetName()] && len(o.GetFinalizers()) == 0 {
					bare = append(bare, o.GetName())
				}
			}
			return bare
		}).Should(gomega.BeEmpty(), "a finalizer that was taken away should be back")
	})
}

// `kubectl replace --force` deletes objects and creates them again.
func TestI1ObjectsThatAreReplacedByForce(t *testing.T) {
	each(t, func(p *publisher, kind string) {
		if kind == v1alpha1.KindTombstone {
			p.t.Skip("deleting a tombstone forgets its undo, as its description says")
		}
		for _, o := range p.of(kind) {
			p.delete(o)
			p.nothingIsLost()
			if p.read(o) { // it is held, or still terminating
				continue
			}
			o.SetResourceVersion("")
			o.SetUID("")
			o.SetFinalizers(nil)
			p.create(o)
		}
		p.nothingIsLost()
		p.reapplied(kind)
	})
}

// reapplied applies the objects of a kind that are missing. If some are terminating, it first deletes everything.
func (p *publisher) reapplied(kind string) {
	p.t.Helper()
	going := false
	for _, o := range p.list(p.t.Context(), kind) {
		going = going || o.GetDeletionTimestamp() != nil
	}
	if going {
		p.pruned()
	}
	for _, o := range p.applied() {
		if !p.read(o) && o.GetName() != "gone" {
			p.create(o)
		}
	}
	p.uploaded("held", "sealed", "free")
}

// pruned deletes everything that the publisher applies, in an unfavourable order, and waits until it is gone.
func (p *publisher) pruned() {
	p.t.Helper()
	p.delete(p.applied()...)
	p.goes(p.applied()...)
}

// `kubectl apply --prune` deletes everything at once, a store before its manifests.
func TestI4ObjectsThatArePruned(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.manage()
	p := newPublisher(s, nil)
	p.pruned()
	for _, name := range manifestNames() {
		p.Expect(p.at(name, p.truth[name])).NotTo(gomega.BeEmpty(), "LOST: the digest of %s", name)
	}
	p.create(p.applied()...)
	p.uploaded(manifestNames()...)
	p.lifeGoesOn()
}

// A status that was emptied is rebuilt.
func TestI2StatusThatIsWiped(t *testing.T) {
	each(t, func(p *publisher, kind string) {
		had := map[string]bool{}
		p.Eventually(func() error {
			for _, o := range p.list(p.t.Context(), kind) {
				had[o.GetName()] = true
				o.Object["status"] = map[string]any{}
				if err := env.Client.Status().Update(p.t.Context(), &o); err != nil {
					return err
				}
			}
			return nil
		}).Should(gomega.Succeed())
		p.nothingIsLost()
		if kind == v1alpha1.KindTombstone {
			_, err := p.purge(nil)
			p.Expect(err).NotTo(gomega.HaveOccurred())
		}
		p.Eventually(func() (blank []string) {
			for _, o := range p.list(p.t.Context(), kind) {
				if found, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions"); len(found) == 0 && had[o.GetName()] {
					blank = append(blank, o.GetName())
				}
			}
			return blank
		}).Should(gomega.BeEmpty(), "a status should be there again")
	})
}

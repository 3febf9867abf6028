package recovery

import (
	"context"
	"testing"

	"github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
	"github.com/nfo-operator/nfo/test/environment"
)

// A restore creates objects without their status, as kubectl does, or with it, as some backup tools can.
const (
	withoutStatus = false
	withStatus    = true
)

// backup returns what `kubectl get -o json` prints of all objects
// of the kinds. Without kinds it returns all of the product's.
func (s *scene) backup(kinds ...string) (saved []unstructured.Unstructured) {
	s.t.Helper()
	if len(kinds) == 0 {
		kinds = v1alpha1.Kinds()
	}
	for _, kind := range kinds {
		saved = append(saved, s.list(s.t.Context(), kind)...)
	}
	return saved
}

// restore creates the objects of a backup in the scene's namespace, with or without their status.
func (s *scene) restore(saved []unstructured.Unstructured, status bool) {
	s.t.Helper()
	for i := range saved {
		o := saved[i].DeepCopy()
		was, had, err := unstructured.NestedMap(o.Object, "status")
		s.Expect(err).NotTo(gomega.HaveOccurred())
		o.SetNamespace(s.ns)
		for _, made := range []string{"uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "deletionTimestamp", "deletionGracePeriodSeconds"} {
			unstructured.RemoveNestedField(o.Object, "metadata", made)
		}
		unstructured.RemoveNestedField(o.Object, "status")
		s.create(o)
		if status && had {
			s.Eventually(func() error {
				if !s.read(o) {
					return nil
				}
				o.Object["status"] = was
				return env.Client.Status().Update(s.t.Context(), o)
			}).Should(gomega.Succeed())
		}
	}
}

// emptied deletes all of the cluster's objects and definitions, and installs the definitions again. No manager may run.
func (s *scene) emptied() {
	s.t.Helper()
	s.clear()
	s.dropDefinitions(v1alpha1.Kinds()...)
	s.applyDefinitions()
}

// The restored backup of held, sealed, free and released manifests works in an empty cluster as before.
func TestI4BackupsComeBack(t *testing.T) {
	for name, status := range map[string]bool{"without status": withoutStatus, "with status": withStatus} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			m := s.manage()
			p := newPublisher(s, nil)
			saved := s.backup()
			m.Stop()
			s.emptied()
			s.restore(saved, status)
			s.manage()
			p.uploaded("held", "sealed", "free")
			for _, o := range p.users()[:2] {
				s.eventually(o, v1alpha1.ConditionResolved, "True/Resolved")
			}
			p.lifeGoesOn()
		})
	}
}

// A sealed tag that was overwritten before the backup was restored
// is reported afterwards, and the sealed digest stays recorded.
func TestI1ARestoredSealIsNotBelieved(t *testing.T) {
	for name, status := range map[string]bool{"without status": withoutStatus, "with status": withStatus} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			m := s.manage()
			p := newPublisher(s, nil)
			sealed := p.manifest("sealed")
			s.Eventually(func() string {
				s.read(sealed)
				return sealed.Annotations[v1alpha1.AnnotationSealedDigests]
			}).Should(gomega.Equal(p.truth["sealed"]))
			saved := s.backup()
			m.Stop()
			s.emptied()
			other, err := registrytest.PushImage(t.Context(), s.registry.Host, "acme/sealed/image", "1", "tampered")
			s.Expect(err).NotTo(gomega.HaveOccurred())
			s.restore(saved, status)
			s.manage()
			s.Eventually(func() (entries []v1alpha1.ArtifactStatus) {
				s.read(sealed)
				return sealed.Status.Artifacts
			}).Should(gomega.ContainElement(gomega.And(
				gomega.HaveField("State", v1alpha1.ArtifactMoved),
				gomega.HaveField("Digest", p.truth["sealed"]),
				gomega.HaveField("MovedTo", other.Digest.String()))))
			s.Expect(p.at("sealed", p.truth["sealed"])).NotTo(gomega.BeEmpty())
		})
	}
}

// A publisher moves to another namespace: it applies everything there, copies its tombstones, and then deletes
// the old objects. No tag is removed meanwhile, and everything that was released can be restored there.
func TestI1APublisherMovesToAnotherNamespace(t *testing.T) {
	s := newScene(t)
	to := sceneAt(t, s.registry)
	s.manage(func(o *environment.ManagerOptions) { o.Namespaces = append(o.Namespaces, to.ns) })
	p := newPublisher(s, nil)
	there := &publisher{scene: to, storeName: "acme", truth: p.truth}
	inert := there.store()
	there.create(inert)
	there.eventually(inert, v1alpha1.ConditionReady, "False/PathConflict")
	there.create(there.manifest("held"), there.manifest("sealed"), there.manifest("free"))
	there.create(there.users()...)
	there.restore(s.backup(v1alpha1.KindTombstone), withoutStatus)
	p.delete(p.users()...)
	p.leaves()
	there.whole("held", "sealed", "free")
	there.uploaded("held", "sealed", "free")
	there.lifeGoesOn()
}

// leaves deletes the publisher's manifests, tombstones and store.
func (p *publisher) leaves() {
	p.t.Helper()
	for _, name := range []string{"held", "sealed", "free"} {
		p.delete(p.manifest(name))
		p.goes(p.manifest(name))
	}
	for _, o := range p.list(context.WithoutCancel(p.t.Context()), v1alpha1.KindTombstone) {
		p.delete(&o)
	}
	p.delete(p.store())
	p.goes(p.store())
}

// A publisher moves to another store of the same place: it releases its manifests with on-delete orphan,
// which leaves the artifacts, and applies them again with the other store, which adopts the tombstones.
func TestI12APublisherMovesToAnotherStore(t *testing.T) {
	s := newScene(t)
	s.manage()
	p := newPublisher(s, nil)
	p.delete(p.users()...)
	p.goes(p.users()...)
	for _, name := range []string{"held", "sealed", "free"} {
		m := p.manifest(name)
		s.Eventually(func() error {
			s.read(m)
			m.Annotations = map[string]string{v1alpha1.AnnotationOnDelete: v1alpha1.OnDeleteOrphan, v1alpha1.AnnotationSealedDigests: m.Annotations[v1alpha1.AnnotationSealedDigests]}
			return env.Client.Update(t.Context(), m)
		}).Should(gomega.Succeed())
		p.delete(m)
		p.goes(m)
	}
	p.delete(p.store())
	p.goes(p.store())
	p.whole("held", "sealed", "free")
	p.storeName = "core"
	st := p.store()
	p.create(st, p.manifest("held"), p.manifest("sealed"), p.manifest("free"))
	p.create(p.users()...)
	p.uploaded("held", "sealed", "free")
	p.lifeGoesOn()
}

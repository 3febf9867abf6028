package recovery

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/onsi/gomega"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
)

// Each CustomResourceDefinition, and all together, are deleted and applied again with
// their objects, as a GitOps tool does, while manifests are being deleted and purges run.
func TestI2DefinitionsThatComeBack(t *testing.T) {
	sets := map[string][]string{"all": v1alpha1.Kinds()}
	for _, kind := range v1alpha1.Kinds() {
		sets[kind] = []string{kind}
	}
	for name, kinds := range sets {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			t.Cleanup(s.applyDefinitions) // if the test fails, the next one still needs all kinds
			s.manage()
			p := newPublisher(s, nil)
			saved := p.backup(kinds...)
			p.delete(p.manifest("held"))
			purges := p.purgesMeanwhile()
			p.dropDefinitions(kinds...)
			p.delete(p.manifest("free"))
			p.nothingIsLost()
			p.applyDefinitions()
			p.nothingIsLost()
			p.restore(saved, withoutStatus)
			purges()
			p.nothingIsLost()
			if slices.Contains(reference.HolderKindsOf(v1alpha1.KindArtifactManifest), name) {
				p.eventually(p.manifest("free"), v1alpha1.ConditionDeletionBlocked, "True/HoldersUnknown")
				p.eventually(p.manifest("held"), v1alpha1.ConditionDeletionBlocked, "True/InUse")
			}
			p.objectsAreBack()
			p.Expect(p.names(v1alpha1.KindTombstone)).NotTo(gomega.BeEmpty())
			p.lifeGoesOn()
		})
	}
}

// purgesMeanwhile runs purges, one after another, until stop is called.
func (p *publisher) purgesMeanwhile() (stop func()) {
	ctx, cancel := context.WithCancel(p.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			if _, err := p.purge(nil); err != nil {
				p.t.Logf("a purge gave way: %v", err)
			}
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	}()
	return func() { cancel(); <-done }
}

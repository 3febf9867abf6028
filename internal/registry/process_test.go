package registry_test

import (
	"testing"

	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

// distribution 2.8 is the most common registry, and the last version before 3.
func TestConformanceOfDistribution2(t *testing.T) {
	t.Parallel()
	r := registrytest.StartProcess(t)
	registrytest.Conformance(t, open(t, registry.Config{Location: r.Location("acme")}), registrytest.WithoutUntag())
}

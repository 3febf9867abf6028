package hostile

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// filled returns a text of a certain length that differs for each number.
func filled(number, length int) string {
	text := fmt.Sprintf("%d-", number)
	return text + strings.Repeat("x", length-len(text))
}

// largest returns an object of each kind that a tenant can create, as large as the schema allows.
func (n *tenant) largest(i int) []client.Object {
	meta := func(kind string) metav1.ObjectMeta {
		m := n.meta(kind + filled(i, 40))
		m.Annotations = map[string]string{"example.com/large": filled(i, 250_000)}
		return m
	}
	store := n.store("s"+filled(i, 40), fmt.Sprint("p", i))
	store.Annotations = meta("").Annotations
	store.Spec.Registry.CABundle = bytes.Repeat([]byte{byte(i)}, 196_608)
	manifest := &v1alpha1.ArtifactManifest{ObjectMeta: meta("m")}
	manifest.Spec.ArtifactStoreRef.Name = store.Name
	for j := range 512 {
		manifest.Spec.Artifacts = append(manifest.Spec.Artifacts, v1alpha1.ManifestArtifact{ArtifactName: filled(j, 150), ArtifactVersion: filled(j, 128)})
	}
	definition := &v1alpha1.NetworkFunctionDefinitionVersion{ObjectMeta: meta("d")}
	for j := range 30 { // an object has at most 1.5 MiB
		app := n.definition("", manifest.Name, filled(j, 255)).Spec.NetworkFunctionTemplate.NetworkFunctionApplications[0]
		app.Name = filled(j, 253)
		for k := range 64 {
			helm := &app.ArtifactProfile.HelmArtifactProfile
			helm.RegistryValuesPaths = append(helm.RegistryValuesPaths, filled(i*10_000_000+j*1000+k, 253))
			helm.ImagePullSecretsValuesPaths = append(helm.ImagePullSecretsValuesPaths, filled(i*10_000_000+j*1000+k, 253))
		}
		definition.Spec.NetworkFunctionTemplate.NetworkFunctionApplications = append(definition.Spec.NetworkFunctionTemplate.NetworkFunctionApplications, app)
	}
	design := &v1alpha1.NetworkServiceDesignVersion{ObjectMeta: meta("n")}
	for j := range 128 {
		design.Spec.ResourceElementTemplates = append(design.Spec.ResourceElementTemplates, v1alpha1.ResourceElementTemplate{
			Name: filled(j, 253), Type: v1alpha1.NetworkFunctionDefinition, Configuration: v1alpha1.ResourceElementConfiguration{
				ArtifactProfile: &v1alpha1.TemplateArtifactProfile{
					ArtifactSource: v1alpha1.ArtifactSource{ArtifactManifestRef: &v1alpha1.LocalReference{Name: manifest.Name}},
					ArtifactName:   filled(j, 150), ArtifactVersion: filled(j, 128),
				},
				NetworkFunctionDefinitionVersionRef: &v1alpha1.LocalReference{Name: definition.Name},
			},
		})
	}
	site := &v1alpha1.SiteNetworkService{ObjectMeta: meta("w")}
	site.Spec.NetworkServiceDesignVersionRef.Name = design.Name
	return []client.Object{store, manifest, definition, design, site}
}

// Whatever a tenant writes into its objects, and however many there are, the manager
// does not use more memory than its container has, and another tenant's work succeeds.
func TestObjectsAtEveryBoundStopNobodyElse(t *testing.T) {
	count := 15
	if long {
		count = 40
	}
	bad, good := newTenant(t), newTenant(t)
	manager := startManager(t)
	alone, beside, after := waits{}, waits{}, waits{}
	good.works(0) // the first round is slow: the manager has just started
	rounds := 1
	for ; rounds < 6; rounds++ {
		alone.add(good.works(rounds))
	}
	begun := time.Now()
	var g errgroup.Group
	g.SetLimit(3)
	for i := range count {
		g.Go(func() error {
			for _, o := range bad.largest(i) {
				if err := shared.Client.Create(t.Context(), o); err != nil {
					return fmt.Errorf("creating %T %d: %w", o, i, err)
				}
			}
			return nil
		})
	}
	made := make(chan error, 1)
	go func() { made <- g.Wait() }()
	for done := false; !done; rounds++ {
		beside.add(good.works(rounds))
		manager.alive()
		select {
		case err := <-made:
			if done = true; err != nil {
				t.Fatal(err)
			}
			t.Logf("%d objects were made in %s", 5*count, time.Since(begun).Round(time.Second))
		default:
		}
	}
	for begun := time.Now(); manager.works(time.Second) && time.Since(begun) < 5*time.Minute; rounds++ {
		beside.add(good.works(rounds))
		manager.alive()
	}
	t.Logf("the manager had worked through them after %s", time.Since(begun).Round(time.Second))
	for range 5 {
		after.add(good.works(rounds))
		rounds++
	}
	t.Logf("alone usually: %v; until then, usually of %d: %v, and at most: %v; beside them usually: %v, times %s", alone.usual(), len(beside["upload"]), beside.usual(), beside.slowest(), after.usual(), after.over(alone))
	t.Logf("the manager had at most %d of %d MiB", manager.used()>>20, managerMemory>>20)
	manager.alive()
	manager.stop()
}

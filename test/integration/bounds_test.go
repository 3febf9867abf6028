package integration

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"runtime"
	"testing"
	"time"

	"github.com/onsi/gomega"
	"golang.org/x/sync/errgroup"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/test/environment"
)

// bundleBytes is the largest caBundle of a store, in bytes before base64.
const bundleBytes = 196_608

// A decision reads only little of other stores: their certificates must not use memory.
// The test is not parallel, because the allocations of other tests would count.
func TestLargeBundlesOfOthersCostNothing(t *testing.T) {
	// With more of them, an API server under the race detector is too slow for the deletions.
	const stores, manifests = 40, 30
	other, mine := newScene(t), newScene(t)
	other.SetDefaultEventuallyTimeout(5 * time.Minute) // the race detector reads certificates slowly
	var all []*v1alpha1.ArtifactStore
	for i := range stores {
		all = append(all, other.store(fmt.Sprint("s", i), func(s *v1alpha1.ArtifactStore) {
			s.Spec.Registry.URL = other.registry.URL(fmt.Sprint("p", i))
			s.Spec.Registry.CABundle = largeBundle(t, i)
			s.Annotations = map[string]string{"example.com/large": fmt.Sprintf("%0200000d", i)}
		}))
	}
	var making errgroup.Group
	making.SetLimit(8)
	for _, s := range all {
		making.Go(func() error { return env.Client.Create(t.Context(), s) })
	}
	mine.Expect(making.Wait()).To(gomega.Succeed())
	mine.manage(func(o *environment.ManagerOptions) { o.Namespaces = []string{other.ns, mine.ns} })
	mine.create(mine.store("acme"))
	var upfs []*v1alpha1.ArtifactManifest
	for i := range manifests {
		m := mine.manifest(fmt.Sprint("m", i), "a:1")
		mine.image(m.Name, "a:1", m.Name)
		mine.create(m)
		upfs = append(upfs, m)
	}
	for _, m := range upfs {
		mine.eventually(m, v1alpha1.ConditionUploaded, "True/Complete")
	}
	for _, s := range all {
		other.eventually(s, v1alpha1.ConditionReady, "True/Ready")
	}

	grown := watchHeap(t)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	begun := time.Now()
	var g errgroup.Group
	for _, m := range upfs {
		g.Go(func() error { return env.Client.Delete(t.Context(), m) })
	}
	mine.Expect(g.Wait()).To(gomega.Succeed())
	for _, m := range upfs {
		mine.goes(m)
	}
	took := time.Since(begun)
	runtime.ReadMemStats(&after)
	most, allocated := grown(), int64(after.TotalAlloc-before.TotalAlloc)
	t.Logf("%d deletions beside %d large stores took %s: the heap grew by %d MiB, and %d MiB were allocated, %d KiB for each", manifests, stores, took.Round(time.Millisecond),
		most>>20, allocated>>20, allocated>>10/manifests)
	// A list that included their certificates would use 1.7 MiB more for each store.
	if mayGrow := int64(40 << 20); most > mayGrow {
		t.Errorf("the heap has grown by %d MiB, want at most %d", most>>20, mayGrow>>20)
	}
}

// largeBundle returns a certificate with as much text as a caBundle may have.
func largeBundle(t *testing.T, number int) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(int64(number)), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	bundle := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return append(bytes.Repeat([]byte("#"), bundleBytes-len(bundle)-1), append([]byte("\n"), bundle...)...)
}

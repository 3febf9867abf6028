package reading

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/livelist"
	"github.com/nfo-operator/nfo/internal/reference"
)

// ErrContradiction is returned when two answers of the API server cannot both be true.
var ErrContradiction = errors.New("the answers of the API server contradict each other")

// maxRecorded bounds how many holders that manifests record are read by name.
const maxRecorded = 64

// Objects is what the API server stores that concerns one store.
type Objects struct {
	// Begun is when the reading began, by this host's clock. Now is the API server's time when it ended.
	Begun, Now time.Time
	// Key identifies the store.
	Key client.ObjectKey
	// Stores, Holders and Tombstones are the objects in the namespace of the store.
	Stores     []v1alpha1.ArtifactStore
	Holders    reference.Snapshot
	Tombstones []v1alpha1.Tombstone
	// Definitions are the definitions of HolderKinds.
	Definitions reference.Definitions
	// Running is what workloads run.
	Running Running
}

// HolderKinds are the kinds whose objects can keep a digest.
var HolderKinds = []string{v1alpha1.KindArtifactManifest, v1alpha1.KindDefinition, v1alpha1.KindDesign}

// ReadObjects reads the cluster, uncached, and adds what was read before of its workloads.
//
// Manifests are read before tombstones, and both before tags. A release writes the tombstone before
// the manifest is deleted, and a restore sets the tag before the tombstone is deleted. In this
// order an artifact that moves from one to the other during the reading is seen at least once.
//
// The definitions of the kinds are read after their objects, because they show whether the lists are reliable.
func ReadObjects(ctx context.Context, api client.Reader, c clock.PassiveClock, now func() time.Time, key client.ObjectKey, run Running) (Objects, error) {
	r := Objects{Begun: c.Now(), Key: key, Running: run}
	var stores v1alpha1.ArtifactStoreList
	urls := livelist.Keep(func(o client.Object) { // of other stores, only the URL, the age and the conditions are needed
		if s, ok := o.(*v1alpha1.ArtifactStore); ok && s.Name != key.Name {
			s.Annotations, s.Labels, s.Spec.Registry.CABundle, s.Status.Unresolved = nil, nil, nil, nil
		}
	})
	reads, both := errgroup.WithContext(ctx)
	reads.Go(func() error {
		if err := api.List(both, &stores, client.InNamespace(key.Namespace), urls); err != nil {
			return fmt.Errorf("listing stores: %w", err)
		}
		return nil
	})
	reads.Go(func() (err error) { r.Holders, err = reference.Read(both, api, key.Namespace); return err })
	err := reads.Wait()
	if err != nil {
		return Objects{}, err
	}
	r.Stores = stores.Items
	if r.Tombstones, err = readTombstones(ctx, api, key.Namespace); err != nil {
		return Objects{}, err
	}
	if r.Definitions, err = reference.ReadDefinitions(ctx, api, HolderKinds...); err != nil {
		return Objects{}, err
	}
	r.Now = now()
	return r, contradiction(ctx, api, r)
}

// readTombstones reads the tombstones of a namespace. They are copies, because a sweep changes them.
func readTombstones(ctx context.Context, api client.Reader, namespace string) ([]v1alpha1.Tombstone, error) {
	var list v1alpha1.TombstoneList
	if err := api.List(ctx, &list, client.InNamespace(namespace)); err != nil {
		return nil, fmt.Errorf("listing tombstones: %w", err)
	}
	for i := range list.Items {
		list.Items[i] = *list.Items[i].DeepCopy()
	}
	return list.Items, nil
}

// contradiction returns an error if no definition and no design is
// listed although one that a manifest's status names exists (I2).
func contradiction(ctx context.Context, api client.Reader, r Objects) error {
	if len(r.Holders[v1alpha1.KindDefinition])+len(r.Holders[v1alpha1.KindDesign]) > 0 {
		return nil
	}
	asked := map[reference.Object]bool{}
	for _, m := range r.Holders.Manifests() {
		for _, d := range m.Status.Dependents.Dependents {
			o := reference.Object{Kind: d.Kind, Namespace: d.Namespace, Name: d.Name}
			if o.Blank() == nil || asked[o] || len(asked) >= maxRecorded {
				continue
			}
			asked[o] = true
			err := api.Get(ctx, client.ObjectKey{Namespace: o.Namespace, Name: o.Name}, o.Blank())
			if client.IgnoreNotFound(err) != nil {
				return fmt.Errorf("reading %s: %w", o, err)
			}
			if err == nil {
				return fmt.Errorf("%w: %s exists, and no definition or design is listed", ErrContradiction, o)
			}
		}
	}
	return nil
}

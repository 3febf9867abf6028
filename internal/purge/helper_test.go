package purge

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/graph"
	"github.com/nfo-operator/nfo/internal/reference"
)

const (
	namespace = "publisher"
	// repo is where manifest cnf has artifact nginx.
	repo = "acme/cnf/nginx"
)

var (
	now      = time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)
	storeKey = client.ObjectKey{Namespace: namespace, Name: "acme"}
)

// known are definitions that are older than everything.
var known = reference.Definitions{
	v1alpha1.KindArtifactManifest: {Created: now.AddDate(-1, 0, 0)},
	v1alpha1.KindDefinition:       {Created: now.AddDate(-1, 0, 0)},
	v1alpha1.KindDesign:           {Created: now.AddDate(-1, 0, 0)},
}

func d(s string) digest.Digest { return digest.FromString(s) }

func ds(names ...string) []digest.Digest {
	var all []digest.Digest
	for _, n := range names {
		all = append(all, d(n))
	}
	return all
}

func ago(hours int) *metav1.Time {
	return new(metav1.NewTime(now.Add(time.Duration(-hours) * time.Hour)))
}

// aStore is a store that may be purged, with a grace of a day.
func aStore(change ...func(*v1alpha1.ArtifactStore)) *v1alpha1.ArtifactStore {
	s := &v1alpha1.ArtifactStore{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "acme", UID: "store", Generation: 1, CreationTimestamp: *ago(100)},
		Spec: v1alpha1.ArtifactStoreSpec{
			Registry: v1alpha1.RegistrySpec{URL: "https://registry.example.com/acme"},
			Purge:    v1alpha1.PurgeSpec{GracePeriod: metav1.Duration{Duration: 24 * time.Hour}},
		},
	}
	s.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonReady, ObservedGeneration: 1, LastTransitionTime: *ago(99)}}
	for _, c := range change {
		c(s)
	}
	return s
}

func aManifest(change ...func(*v1alpha1.ArtifactManifest)) *v1alpha1.ArtifactManifest {
	m := &v1alpha1.ArtifactManifest{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "cnf", UID: "am-cnf"},
		Spec:       v1alpha1.ArtifactManifestSpec{ArtifactStoreRef: v1alpha1.LocalReference{Name: "acme"}, UploadPath: v1alpha1.ManifestScoped},
	}
	for _, c := range change {
		c(m)
	}
	return m
}

func lists(version string) func(*v1alpha1.ArtifactManifest) {
	return func(m *v1alpha1.ArtifactManifest) {
		m.Spec.Artifacts = append(m.Spec.Artifacts, v1alpha1.ManifestArtifact{ArtifactName: "nginx", ArtifactVersion: version})
	}
}

func records(version, name string) func(*v1alpha1.ArtifactManifest) {
	return func(m *v1alpha1.ArtifactManifest) {
		m.Status.Artifacts = append(m.Status.Artifacts, v1alpha1.ArtifactStatus{
			ArtifactName: "nginx", ArtifactVersion: version, Repository: repo, Digest: d(name).String(), State: v1alpha1.ArtifactPresent,
		})
	}
}

// looked says that the operator has looked at a manifest, and not seen its artifact.
func looked(version string) func(*v1alpha1.ArtifactManifest) {
	return func(m *v1alpha1.ArtifactManifest) {
		m.Status.Artifacts = append(m.Status.Artifacts, v1alpha1.ArtifactStatus{ArtifactName: "nginx", ArtifactVersion: version, Repository: repo, State: v1alpha1.ArtifactMissing})
	}
}

// aDefinition names chart nginx of a manifest or, with a store, by the old form.
func aDefinition(name, manifest, store string) *v1alpha1.NetworkFunctionDefinitionVersion {
	app := v1alpha1.NetworkFunctionApplication{Name: "app"}
	app.ArtifactProfile.HelmArtifactProfile = v1alpha1.HelmArtifactProfile{HelmPackageName: "nginx", HelmPackageVersionRange: "*"}
	if manifest != "" {
		app.ArtifactProfile.ArtifactManifestRef = &v1alpha1.LocalReference{Name: manifest}
	}
	if store != "" {
		app.ArtifactProfile.ArtifactStoreRef = &v1alpha1.LocalReference{Name: store}
	}
	o := &v1alpha1.NetworkFunctionDefinitionVersion{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID("nfdv-" + name)}}
	o.Spec.NetworkFunctionTemplate.NetworkFunctionApplications = []v1alpha1.NetworkFunctionApplication{app}
	return o
}

// deploying gives a definition's application the digest that it came to in repo, "" for none, and images.
func deploying(name string, o *v1alpha1.NetworkFunctionDefinitionVersion, images ...v1alpha1.ChartImage) *v1alpha1.NetworkFunctionDefinitionVersion {
	app := v1alpha1.ApplicationStatus{Name: "app", Manifest: "cnf2", Repository: repo, Images: images}
	if name != "" {
		app.Digest = d(name).String()
	}
	o.Status.Applications = []v1alpha1.ApplicationStatus{app}
	return o
}

// aTombstone is one of manifest cnf, released with a grace of a day.
func aTombstone(name string, change ...func(*v1alpha1.Tombstone)) *v1alpha1.Tombstone {
	t := &v1alpha1.Tombstone{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID("ts-" + name), CreationTimestamp: *ago(1000)},
		Spec: v1alpha1.TombstoneSpec{
			RegistryURL: "https://registry.example.com/acme",
			Manifest:    v1alpha1.TombstoneManifest{Name: "cnf", UID: "old"},
			Cause:       v1alpha1.CauseReleased,
			GracePeriod: metav1.Duration{Duration: 24 * time.Hour},
		},
	}
	for _, c := range change {
		c(t)
	}
	return t
}

// released adds an entry of repo that was untagged so many hours ago.
func released(hours int, tag string, digests ...string) func(*v1alpha1.Tombstone) {
	return in(repo, v1alpha1.TombstoneUntagged, hours, tag, digests...)
}

func in(repository string, state v1alpha1.TombstoneState, hours int, tag string, digests ...string) func(*v1alpha1.Tombstone) {
	return func(t *v1alpha1.Tombstone) {
		a := v1alpha1.TombstoneArtifact{Repository: repository, Tag: tag}
		for _, name := range digests {
			if !strings.Contains(name, ":") {
				name = d(name).String()
			}
			a.Digests = append(a.Digests, name)
		}
		t.Spec.Artifacts = append(t.Spec.Artifacts, a)
		t.SetEntry(v1alpha1.TombstoneArtifactStatus{Repository: repository, Tag: tag, State: state, UntaggedAt: ago(hours)})
	}
}

func because(cause v1alpha1.Cause) func(*v1alpha1.Tombstone) {
	return func(t *v1alpha1.Tombstone) { t.Spec.Cause = cause }
}

// missing: the registry has said for so many hours that a digest of each entry does not exist.
func missing(hours int) func(*v1alpha1.Tombstone) {
	return func(t *v1alpha1.Tombstone) {
		for i := range t.Status.Artifacts {
			t.Status.Artifacts[i].MissingSince = ago(hours)
		}
	}
}

// unresolved is a store that remembers since so many hours ago that a reference of repo does not resolve.
func unresolved(name string, hours int) *v1alpha1.ArtifactStore {
	return aStore(func(s *v1alpha1.ArtifactStore) {
		s.Status.Unresolved = []v1alpha1.UnresolvedReference{{Repository: repo, TagOrDigest: name, Since: *ago(hours)}}
	})
}

// tagStays: the registry would not remove the entries' tags.
func tagStays() func(*v1alpha1.Tombstone) {
	return func(t *v1alpha1.Tombstone) {
		for i := range t.Status.Artifacts {
			t.Status.Artifacts[i].Reason = "TagDeleteUnsupported: so it is"
		}
	}
}

// clusterOf makes a cluster of objects, in their order.
func clusterOf(t *testing.T, objects ...client.Object) cluster {
	t.Helper()
	var stores []v1alpha1.ArtifactStore
	var tombstones []v1alpha1.Tombstone
	holders := reference.Snapshot{}
	for _, o := range objects {
		switch o := o.(type) {
		case *v1alpha1.ArtifactStore:
			stores = slices.DeleteFunc(stores, func(s v1alpha1.ArtifactStore) bool { return s.Name == o.Name }) // the last one counts
			stores = append(stores, *o)
		case *v1alpha1.Tombstone:
			tombstones = append(tombstones, *o)
		default:
			kind := reference.Self(o).Kind
			holders[kind] = append(holders[kind], o)
		}
	}
	c := newCluster(clusterRead{begun: now, now: now, key: storeKey, stores: stores, holders: holders, tombstones: tombstones, definitions: known})
	if c.refusal != nil {
		t.Fatalf("the store is refused: %v", c.refusal)
	}
	return c
}

// content is what a repository has; tags and nodes are by name.
type content struct {
	tags     map[string]string
	indexes  map[string][]string // children
	subjects map[string]string
	missing  []string
	opaque   []string
	dangling []string
	err      error
}

func (c content) reading() reading {
	tags := map[string]digest.Digest{}
	for tag, name := range c.tags {
		tags[tag] = d(name)
	}
	var nodes []graph.Node
	for name, children := range c.indexes {
		nodes = append(nodes, graph.Node{Digest: d(name), Children: ds(children...)})
	}
	for name, subject := range c.subjects {
		nodes = append(nodes, graph.Node{Digest: d(name), Subject: d(subject)})
	}
	r := reading{graph: graph.Build(tags, nodes), missing: map[digest.Digest]bool{}, opaque: map[digest.Digest]bool{}, dangling: c.dangling, err: c.err}
	for _, name := range c.opaque {
		r.opaque[d(name)] = true
	}
	for _, name := range c.missing {
		r.missing[d(name)] = true
	}
	return r
}

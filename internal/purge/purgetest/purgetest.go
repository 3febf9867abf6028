// Package purgetest has the objects that tests of purges begin with.
package purgetest

import (
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
)

const (
	// Namespace is the namespace of the store.
	Namespace = "publisher"
	// Repository is the repository of artifact nginx of manifest cnf.
	Repository = "acme/cnf/nginx"
)

var (
	// Now is the current time in all tests.
	Now = time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)
	// StoreKey identifies the store.
	StoreKey = client.ObjectKey{Namespace: Namespace, Name: "acme"}
)

// Definitions are the definitions of the holder kinds, older than all objects.
var Definitions = reference.Definitions{
	v1alpha1.KindArtifactManifest: {Created: Now.AddDate(-1, 0, 0)},
	v1alpha1.KindDefinition:       {Created: Now.AddDate(-1, 0, 0)},
	v1alpha1.KindDesign:           {Created: Now.AddDate(-1, 0, 0)},
}

// Digest returns the digest of a text.
func Digest(s string) digest.Digest { return digest.FromString(s) }

// Digests returns the digests of some texts.
func Digests(names ...string) []digest.Digest {
	var all []digest.Digest
	for _, n := range names {
		all = append(all, Digest(n))
	}
	return all
}

// Ago returns the time that many hours before Now.
func Ago(hours int) *metav1.Time {
	return new(metav1.NewTime(Now.Add(time.Duration(-hours) * time.Hour)))
}

// Store returns a store that may be purged, with a grace period of a day.
func Store(change ...func(*v1alpha1.ArtifactStore)) *v1alpha1.ArtifactStore {
	s := &v1alpha1.ArtifactStore{
		ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: "acme", UID: "store", Generation: 1, CreationTimestamp: *Ago(100)},
		Spec: v1alpha1.ArtifactStoreSpec{
			Registry: v1alpha1.RegistrySpec{URL: "https://registry.example.com/acme"},
			Purge:    v1alpha1.PurgeSpec{GracePeriod: metav1.Duration{Duration: 24 * time.Hour}},
		},
	}
	s.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonReady, ObservedGeneration: 1, LastTransitionTime: *Ago(99)}}
	for _, c := range change {
		c(s)
	}
	return s
}

// Manifest returns the manifest cnf of the store.
func Manifest(change ...func(*v1alpha1.ArtifactManifest)) *v1alpha1.ArtifactManifest {
	m := &v1alpha1.ArtifactManifest{
		ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: "cnf", UID: "am-cnf"},
		Spec:       v1alpha1.ArtifactManifestSpec{ArtifactStoreRef: v1alpha1.LocalReference{Name: "acme"}, UploadPath: v1alpha1.ManifestScoped},
	}
	for _, c := range change {
		c(m)
	}
	return m
}

// Lists adds a version of artifact nginx to the spec of a manifest.
func Lists(version string) func(*v1alpha1.ArtifactManifest) {
	return func(m *v1alpha1.ArtifactManifest) {
		m.Spec.Artifacts = append(m.Spec.Artifacts, v1alpha1.ManifestArtifact{ArtifactName: "nginx", ArtifactVersion: version})
	}
}

// Records adds a version of artifact nginx, at the digest of a text, to the status of a manifest.
func Records(version, name string) func(*v1alpha1.ArtifactManifest) {
	return func(m *v1alpha1.ArtifactManifest) {
		m.Status.Artifacts = append(m.Status.Artifacts, v1alpha1.ArtifactStatus{
			ArtifactName: "nginx", ArtifactVersion: version, Repository: Repository, Digest: Digest(name).String(), State: v1alpha1.ArtifactPresent,
		})
	}
}

// Looked records in the status of a manifest that the manager did not find its artifact.
func Looked(version string) func(*v1alpha1.ArtifactManifest) {
	return func(m *v1alpha1.ArtifactManifest) {
		m.Status.Artifacts = append(m.Status.Artifacts, v1alpha1.ArtifactStatus{ArtifactName: "nginx", ArtifactVersion: version, Repository: Repository, State: v1alpha1.ArtifactMissing})
	}
}

// Definition returns a definition that references chart nginx of a manifest or, with a store, in the old form.
func Definition(name, manifest, store string) *v1alpha1.NetworkFunctionDefinitionVersion {
	app := v1alpha1.NetworkFunctionApplication{Name: "app"}
	app.ArtifactProfile.HelmArtifactProfile = v1alpha1.HelmArtifactProfile{HelmPackageName: "nginx", HelmPackageVersionRange: "*"}
	if manifest != "" {
		app.ArtifactProfile.ArtifactManifestRef = &v1alpha1.LocalReference{Name: manifest}
	}
	if store != "" {
		app.ArtifactProfile.ArtifactStoreRef = &v1alpha1.LocalReference{Name: store}
	}
	o := &v1alpha1.NetworkFunctionDefinitionVersion{ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: name, UID: types.UID("nfdv-" + name)}}
	o.Spec.NetworkFunctionTemplate.NetworkFunctionApplications = []v1alpha1.NetworkFunctionApplication{app}
	return o
}

// Deploying sets, for a definition's application, the digest in
// Repository that it was resolved to ("" for none) and its images.
func Deploying(name string, o *v1alpha1.NetworkFunctionDefinitionVersion, images ...v1alpha1.ChartImage) *v1alpha1.NetworkFunctionDefinitionVersion {
	app := v1alpha1.ApplicationStatus{Name: "app", Manifest: "cnf2", Repository: Repository, Images: images}
	if name != "" {
		app.Digest = Digest(name).String()
	}
	o.Status.Applications = []v1alpha1.ApplicationStatus{app}
	return o
}

// Tombstone returns a tombstone of manifest cnf that was released with a grace period of a day.
func Tombstone(name string, change ...func(*v1alpha1.Tombstone)) *v1alpha1.Tombstone {
	t := &v1alpha1.Tombstone{
		ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: name, UID: types.UID("ts-" + name), CreationTimestamp: *Ago(1000)},
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

// Released adds an entry of Repository that was untagged the given number of hours ago.
func Released(hours int, tag string, digests ...string) func(*v1alpha1.Tombstone) {
	return In(Repository, v1alpha1.TombstoneUntagged, hours, tag, digests...)
}

// In adds an entry in a repository and a state, untagged the given number of hours ago.
func In(repository string, state v1alpha1.TombstoneState, hours int, tag string, digests ...string) func(*v1alpha1.Tombstone) {
	return func(t *v1alpha1.Tombstone) {
		a := v1alpha1.TombstoneArtifact{Repository: repository, Tag: tag}
		for _, name := range digests {
			if !strings.Contains(name, ":") {
				name = Digest(name).String()
			}
			a.Digests = append(a.Digests, name)
		}
		t.Spec.Artifacts = append(t.Spec.Artifacts, a)
		t.SetEntry(v1alpha1.TombstoneArtifactStatus{Repository: repository, Tag: tag, State: state, UntaggedAt: Ago(hours)})
	}
}

// Because sets the cause of a tombstone.
func Because(cause v1alpha1.Cause) func(*v1alpha1.Tombstone) {
	return func(t *v1alpha1.Tombstone) { t.Spec.Cause = cause }
}

// Missing records that a digest of each entry has been missing from the registry for the given number of hours.
func Missing(hours int) func(*v1alpha1.Tombstone) {
	return func(t *v1alpha1.Tombstone) {
		for i := range t.Status.Artifacts {
			t.Status.Artifacts[i].MissingSince = Ago(hours)
		}
	}
}

// Unresolved returns a store that has recorded a reference of Repository as unresolved for the given number of hours.
func Unresolved(name string, hours int) *v1alpha1.ArtifactStore {
	return Store(func(s *v1alpha1.ArtifactStore) {
		s.Status.Unresolved = []v1alpha1.UnresolvedReference{{Repository: Repository, TagOrDigest: name, Since: *Ago(hours)}}
	})
}

// TagStays records that the registry could not remove the entries' tags.
func TagStays() func(*v1alpha1.Tombstone) {
	return func(t *v1alpha1.Tombstone) {
		for i := range t.Status.Artifacts {
			t.Status.Artifacts[i].Reason = "TagDeleteUnsupported: so it is"
		}
	}
}

// KindOf returns the kind of the objects of a list.
func KindOf(l client.ObjectList) string {
	switch l.(type) {
	case *v1alpha1.ArtifactStoreList:
		return v1alpha1.KindArtifactStore
	case *v1alpha1.ArtifactManifestList:
		return v1alpha1.KindArtifactManifest
	case *v1alpha1.NetworkFunctionDefinitionVersionList:
		return v1alpha1.KindDefinition
	case *v1alpha1.NetworkServiceDesignVersionList:
		return v1alpha1.KindDesign
	}
	return v1alpha1.KindTombstone
}

package store

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/controller/pass"
	"github.com/nfo-operator/nfo/internal/controller/wake"
	"github.com/nfo-operator/nfo/internal/reference"
)

// Only stores that have artifacts in the same repository can delete each other's content.
func TestOneRegistryUnderTwoNamesMattersWhereRepositoriesMeet(t *testing.T) {
	t.Parallel()
	store := func(namespace, url string) *v1alpha1.ArtifactStore {
		s := &v1alpha1.ArtifactStore{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "acme"}}
		s.Spec.Registry.URL, s.Status.Addresses = url, []string{"192.0.2.1:443"}
		return s
	}
	mine, theirs := store("a", "https://r.example/acme"), store("b", "https://s.example")
	manifest := func(s *v1alpha1.ArtifactStore, name string, change ...func(*v1alpha1.ArtifactManifest)) client.Object {
		m := &v1alpha1.ArtifactManifest{ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: name}}
		m.Spec.ArtifactStoreRef.Name, m.Spec.UploadPath = s.Name, v1alpha1.ManifestScoped
		m.Spec.Artifacts = []v1alpha1.ManifestArtifact{{ArtifactName: "m", ArtifactVersion: "1"}}
		for _, c := range change {
			c(m)
		}
		return m
	}
	tombstone := func(s *v1alpha1.ArtifactStore, url, repository string) client.Object {
		g := &v1alpha1.Tombstone{ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: "t"}}
		g.Spec.RegistryURL, g.Spec.Artifacts = url, []v1alpha1.TombstoneArtifact{{Repository: repository, Tag: "1"}}
		return g
	}
	recorded := func(repository string) func(*v1alpha1.ArtifactManifest) {
		return func(m *v1alpha1.ArtifactManifest) {
			m.Status.Artifacts = []v1alpha1.ArtifactStatus{{Repository: repository}}
		}
	}
	for name, tc := range map[string]struct {
		reason  string
		objects []client.Object
		want    string
	}{
		"Manifests":    {"both list acme/m/m, each below its own prefix", []client.Object{manifest(mine, "m"), manifest(theirs, "acme", func(m *v1alpha1.ArtifactManifest) { m.Spec.Artifacts[0].ArtifactName = "m/m" })}, "acme/m/m"},
		"Apart":        {"they have nothing in common", []client.Object{manifest(mine, "m"), manifest(theirs, "n")}, ""},
		"Recorded":     {"what was seen there is theirs too", []client.Object{manifest(mine, "m"), manifest(theirs, "n", recorded("acme/m/m"))}, "acme/m/m"},
		"Tombstone":    {"a purge of theirs deletes there", []client.Object{manifest(mine, "m"), tombstone(theirs, "https://S.example:443", "acme/m/m")}, "acme/m/m"},
		"MyTombstone":  {"a purge of mine deletes there", []client.Object{tombstone(mine, "https://r.example/acme", "n/m"), manifest(theirs, "n")}, "n/m"},
		"ElsewhereWas": {"that tombstone is of another registry", []client.Object{manifest(mine, "m"), tombstone(theirs, "https://t.example", "acme/m/m")}, ""},
		"OtherStore":   {"that manifest is of another store", []client.Object{manifest(mine, "m"), manifest(theirs, "n", recorded("acme/m/m"), func(m *v1alpha1.ArtifactManifest) { m.Spec.ArtifactStoreRef.Name = "x" })}, ""},
		"Nothing":      {"nobody has anything", nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			scheme, err := reference.NewScheme()
			if err != nil {
				t.Fatal(err)
			}
			r := &Reconciler{Client: fake.NewClientBuilder().WithScheme(scheme).WithObjects(tc.objects...).Build()}
			found, err := r.sharing(t.Context(), mine, []*v1alpha1.ArtifactStore{theirs})
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if found != nil {
				got = found.repository
				if found.with != theirs || found.address != "192.0.2.1:443" {
					t.Errorf("%s: it is shared with %s at %s", tc.reason, found.with.Namespace, found.address)
				}
			}
			if got != tc.want {
				t.Errorf("%s: shared is %q, want %q", tc.reason, got, tc.want)
			}
		})
	}
}

func TestAddressesOfARegistry(t *testing.T) {
	t.Parallel()
	answers := map[string][]string{"r.example": {"192.0.2.2", "::ffff:192.0.2.1", "192.0.2.2", "fe80::1%eth0"}, "2001:db8::1": {"2001:db8::1"}, "this.example": {"::1", "127.0.1.1", "127.0.0.1"}}
	for i := range 40 {
		answers["many.example"] = append(answers["many.example"], netip.AddrFrom4([4]byte{192, 0, 2, byte(100 + i)}).String())
	}
	r := &Reconciler{Lookup: func(ctx context.Context, host string) (all []netip.Addr, err error) {
		if end, bounded := ctx.Deadline(); !bounded || time.Until(end) > lookupLimit {
			t.Error("a name server can keep a pass from ending")
		}
		for _, a := range answers[host] {
			all = append(all, netip.MustParseAddr(a))
		}
		if all == nil {
			err = errors.New("no such host")
		}
		return all, err
	}}
	for url, want := range map[string][]string{
		"https://r.example/acme":   {"192.0.2.1:443", "192.0.2.2:443", "[fe80::1]:443"},
		"http://r.example":         {"192.0.2.1:80", "192.0.2.2:80", "[fe80::1]:80"},
		"https://r.example:5000":   {"192.0.2.1:5000", "192.0.2.2:5000", "[fe80::1]:5000"},
		"https://[2001:db8::1]/a":  {"[2001:db8::1]:443"},
		"http://this.example:5000": {"127.0.0.1:5000"},
		"https://nowhere.example/": nil,
	} {
		l, err := v1alpha1.ParseRegistryURL(url)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.addresses(t.Context(), l); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", url, got, want)
		}
	}
	many, err := v1alpha1.ParseRegistryURL("https://many.example")
	if err != nil {
		t.Fatal(err)
	}
	if n := len(r.addresses(t.Context(), many)); n != v1alpha1.MaxAddresses {
		t.Errorf("%d addresses would be stored", n)
	}
}

// If a name server returns different addresses in turn, the status must not
// be written at every ping, and a failure must not drop the known addresses.
func TestAddressesThatAreKnownStay(t *testing.T) {
	t.Parallel()
	known := []string{"192.0.2.1:443", "192.0.2.2:443"}
	for name, tc := range map[string]struct{ found, want []string }{
		"Same": {known, known}, "Part": {known[1:], known}, "None": {nil, known},
		"Other": {[]string{"192.0.2.3:443"}, []string{"192.0.2.3:443"}}, "More": {[]string{"192.0.2.2:443", "192.0.2.3:443"}, []string{"192.0.2.2:443", "192.0.2.3:443"}},
	} {
		if got := remembered(known, tc.found); !slices.Equal(got, tc.want) {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}

// Purges are stopped by this reason alone, so no other trouble with the purge may replace it.
func TestAFailureDoesNotHideThatARegistryMayBeShared(t *testing.T) {
	t.Parallel()
	seen := aStore(func(s *storeSeen) { s.shared = &sharing{with: &v1alpha1.ArtifactStore{}} })
	for _, err := range []error{&pass.NameTakenError{Objects: []string{"CronJob a/b"}}, errors.New("down")} {
		for _, c := range concluded(seen, err) {
			if c.Type == v1alpha1.ConditionPurgeHealthy && c.Reason != v1alpha1.ReasonMayShareRegistry {
				t.Errorf("after %v it says %s", err, c.Reason)
			}
		}
	}
}

// If a name server answers differently each time, only stores that share an address may be
// woken. Stores in the same registry must not wake each other, because there can be hundreds.
func TestOnlyStoresThatShareAnAddressAreWoken(t *testing.T) {
	t.Parallel()
	store := func(name string, addresses ...string) *v1alpha1.ArtifactStore {
		s := &v1alpha1.ArtifactStore{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID(name)}}
		s.Status.Addresses = addresses
		s.Spec.Registry.URL = "https://" + name + ".example.com/path"
		return s
	}
	at := func(url string, s *v1alpha1.ArtifactStore) *v1alpha1.ArtifactStore {
		s.Spec.Registry.URL = url
		return s
	}
	scheme, err := reference.NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	was, is := store("acme", "192.0.2.1:443"), store("acme", "192.0.2.2:443")
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(is, store("before", "192.0.2.1:443"), store("now", "192.0.2.9:443", "192.0.2.2:443"), store("other", "192.0.2.3:443"), store("none"),
		at("https://acme.example.com/path", store("same", "192.0.2.2:443")), at("https://b.example.com/other", store("apart", "192.0.2.2:443"))).Build()
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())
	defer queue.ShutDown()
	update := event.UpdateEvent{ObjectOld: was, ObjectNew: is}
	if p := wake.NewAddresses(); !p.Update(update) || p.Update(event.UpdateEvent{ObjectOld: is, ObjectNew: is}) {
		t.Error("a change of addresses passes, and nothing else")
	}
	woken := func() (all []string) {
		for queue.Len() > 0 {
			r, _ := queue.Get()
			queue.Done(r)
			all = append(all, r.Name)
		}
		slices.Sort(all)
		return all
	}
	wake.StoresSharing(c).Update(t.Context(), update, queue)
	if got := woken(); !slices.Equal(got, []string{"before", "now"}) {
		t.Errorf("woken are %v", got)
	}
	m := &v1alpha1.ArtifactManifest{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "m"}}
	for name, want := range map[string][]string{"acme": {"now"}, "none": nil, "missing": nil} {
		m.Spec.ArtifactStoreRef.Name = name
		wake.StoresSharing(c).Create(t.Context(), event.CreateEvent{Object: m}, queue)
		if got := woken(); !slices.Equal(got, want) {
			t.Errorf("by a manifest of %s are woken %v, want %v", name, got, want)
		}
	}
}

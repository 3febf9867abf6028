package why

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/plugin"
	"github.com/nfo-operator/nfo/internal/plugin/plugintest"
	"github.com/nfo-operator/nfo/internal/reference"
)

// now is the time of all answers in the tests.
var now = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// deploying sets in a definition's status what its first application resolved to.
func deploying(d *v1alpha1.NetworkFunctionDefinitionVersion, digest string, images ...v1alpha1.ChartImage) *v1alpha1.NetworkFunctionDefinitionVersion {
	app := d.Spec.NetworkFunctionTemplate.NetworkFunctionApplications[0].Name
	m := strings.TrimPrefix(app, "on-")
	d.Status.Applications = []v1alpha1.ApplicationStatus{{Name: app, Manifest: m, ArtifactName: "upf", ArtifactVersion: "1", Repository: "acme/" + m + "/upf", Digest: digest, Images: images}}
	return d
}

// tombstone has one tag, upf:1, in one state, untagged an hour ago with a grace period of a day.
func tombstone(name, of string, state v1alpha1.TombstoneState, edit ...func(*v1alpha1.Tombstone)) v1alpha1.Tombstone {
	t := v1alpha1.Tombstone{ObjectMeta: plugintest.Meta(name)}
	t.Spec = v1alpha1.TombstoneSpec{
		RegistryURL: "https://R.example.com:443/acme/", Cause: v1alpha1.CauseReleased, GracePeriod: metav1.Duration{Duration: 24 * time.Hour},
		Manifest:  v1alpha1.TombstoneManifest{Name: of},
		Artifacts: []v1alpha1.TombstoneArtifact{{Repository: "acme/" + of + "/upf", Tag: "1", Digests: []string{plugintest.Two, plugintest.One}}},
	}
	e := v1alpha1.TombstoneArtifactStatus{Repository: "acme/" + of + "/upf", Tag: "1", State: state}
	if state != v1alpha1.TombstonePending {
		at := metav1.NewTime(now.Add(-time.Hour))
		e.UntaggedAt = &at
	}
	t.SetEntry(e)
	for _, f := range edit {
		f(&t)
	}
	return t
}

func store(edit ...func(*v1alpha1.ArtifactStore)) v1alpha1.ArtifactStore {
	s := v1alpha1.ArtifactStore{ObjectMeta: plugintest.Meta("acme")}
	s.Spec.Registry.URL = "https://r.example.com/acme"
	s.Spec.Purge.GracePeriod = metav1.Duration{Duration: 12 * time.Hour}
	for _, e := range edit {
		e(&s)
	}
	return s
}

// notReady makes a store not ready.
func notReady(reason, message string) func(*v1alpha1.ArtifactStore) {
	return func(s *v1alpha1.ArtifactStore) {
		s.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: reason, Message: message}}
	}
}

// seen is the evidence of a cluster with these objects.
func seen(stores []v1alpha1.ArtifactStore, tombstones []v1alpha1.Tombstone, objects ...client.Object) *evidence {
	e := &evidence{namespace: "p", now: now, stores: stores, tombstones: tombstones}
	s := reference.Snapshot{}
	for _, o := range objects {
		kind := reference.Self(o).Kind
		s[kind] = append(s[kind], o)
	}
	e.use(s)
	return e
}

func going[T client.Object](o T) T {
	o.SetDeletionTimestamp(&metav1.Time{Time: now})
	return o
}

// another adds a second tag to a tombstone, in the state of the first.
func another(t *v1alpha1.Tombstone) {
	a, e := t.Spec.Artifacts[0], t.Status.Artifacts[0]
	a.Repository, e.Repository = "acme/m/smf", "acme/m/smf"
	t.Spec.Artifacts, t.Status.Artifacts = append(t.Spec.Artifacts, a), append(t.Status.Artifacts, e)
}

func TestWhyObject(t *testing.T) {
	t.Parallel()
	am := func(name string) reference.Object {
		return reference.Object{Kind: v1alpha1.KindArtifactManifest, Namespace: "p", Name: name}
	}
	stores := []v1alpha1.ArtifactStore{store()}
	storeScoped := func(m *v1alpha1.ArtifactManifest) { m.Spec.UploadPath = v1alpha1.StoreScoped }
	for name, tc := range map[string]struct {
		reason string
		seen   *evidence
		ask    reference.Object
		want   string
	}{
		"Chain": {"up to the sites, each object followed once", seen(stores, nil, plugintest.Manifest("m"), plugintest.Manifest("m2"), plugintest.Definition("d", "m"), plugintest.Definition("d2", "m2"), plugintest.Design("n", "d", "m"), plugintest.Site("edge", "b", "n"), plugintest.Site("p", "a", "n")), am("m"), `
artifactmanifests/p/m
├── networkfunctiondefinitionversions/p/d (artifact upf:~1, by on-m)
│   └── networkservicedesignversions/p/n (by site)
│       ├── sitenetworkservices/edge/b
│       └── sitenetworkservices/p/a
└── networkservicedesignversions/p/n (artifact upf:1, by site), kept as above

Deleting it is refused, because it is in use. It is needed by: sitenetworkservices/edge/b, sitenetworkservices/p/a. Delete these objects or change what they reference, and then every object between them and this one.
`},
		"OldForm": {"a reference to a store keeps what lists the artifact", seen(stores, nil, plugintest.Manifest("m"), plugintest.Definition("d", "acme")), am("m"), `
artifactmanifests/p/m
└── networkfunctiondefinitionversions/p/d (artifact upf:~1, by on-acme, of any manifest of its store)

Deleting it is refused, because it is in use. It is needed by: networkfunctiondefinitionversions/p/d. Delete these objects or change what they reference, and then every object between them and this one.
`},
		"Going": {"what is going still keeps", seen(stores, nil, going(plugintest.Manifest("m")), going(plugintest.Definition("d", "m"))), am("m"), `
artifactmanifests/p/m
└── networkfunctiondefinitionversions/p/d (artifact upf:~1, by on-m), itself being deleted

Deleting it waits for the objects that reference it, which are being deleted. It is needed by: networkfunctiondefinitionversions/p/d. Delete these objects or change what they reference, and then every object between them and this one.
`},
		"Free": {"nothing keeps it", seen(stores, nil, plugintest.Manifest("m"), plugintest.Definition("d", "m2")), am("m"), `
artifactmanifests/p/m

Nothing keeps it: deleting is allowed; if it is deleted now, it can be restored until 2026-05-02T00:00:00Z (grace period 12h0m0s).
`},
		"StoreScoped": {"the form of before is never blocked", seen(stores, nil, plugintest.Manifest("m", storeScoped), plugintest.Definition("d", "m")), am("m"), `
artifactmanifests/p/m
└── networkfunctiondefinitionversions/p/d (artifact upf:~1, by on-m)

It is StoreScoped: deleting is allowed, whatever names it, and never touches the registry.
`},
		"NoStore": {"a deletion would wait", seen(nil, nil, plugintest.Manifest("m")), am("m"), `
artifactmanifests/p/m

Nothing keeps it: deleting is allowed, but waits until its store acme exists.
`},
		"Orphan": {"a deletion would leave all as it is", seen([]v1alpha1.ArtifactStore{store(func(s *v1alpha1.ArtifactStore) {
			s.Annotations = map[string]string{v1alpha1.AnnotationOnDelete: v1alpha1.OnDeleteOrphan}
		})}, nil, plugintest.Manifest("m")), am("m"), `
artifactmanifests/p/m

Nothing keeps it: deleting is allowed, and does not touch the registry, as nfo.dev/on-delete says.
`},
		"Inert": {"no undo is promised that will not be", seen([]v1alpha1.ArtifactStore{store(notReady(v1alpha1.ReasonPathConflict, "Store q/acme has an overlapping URL."))}, nil, plugintest.Manifest("m")), am("m"), `
artifactmanifests/p/m

Nothing keeps it: deleting is allowed, and does not touch the registry: its store acme does nothing (PathConflict: Store q/acme has an overlapping URL).
`},
		"Refused": {"nor in a place that the administrator refuses", seen([]v1alpha1.ArtifactStore{store(notReady(v1alpha1.ReasonPlaceRefused, "No."))}, nil, plugintest.Manifest("m")), am("m"), `
artifactmanifests/p/m

Nothing keeps it: deleting is allowed, and does not touch the registry: its store acme does nothing (PlaceRefused: No).
`},
		"InvalidURL": {"nor in none", seen([]v1alpha1.ArtifactStore{store(notReady(v1alpha1.ReasonInvalidURL, "No."))}, nil, plugintest.Manifest("m")), am("m"), `
artifactmanifests/p/m

Nothing keeps it: deleting is allowed, and does not touch the registry: its store acme does nothing (InvalidURL: No).
`},
		"Down": {"a registry that does not answer comes back", seen([]v1alpha1.ArtifactStore{store(notReady(v1alpha1.ReasonUnavailable, "No."))}, nil, plugintest.Manifest("m")), am("m"), `
artifactmanifests/p/m

Nothing keeps it: deleting is allowed; if it is deleted now, it can be restored until 2026-05-02T00:00:00Z (grace period 12h0m0s).
`},
		"Gone": {"its tombstone says how it can come back", seen(stores, []v1alpha1.Tombstone{tombstone("m-1", "m", v1alpha1.TombstoneUntagged), tombstone("x-1", "x", v1alpha1.TombstoneUntagged)}), am("m"), `
artifactmanifests/p/m

It does not exist any more. To restore what can be restored, apply it again.

Released:
  acme/m/upf:1 (tombstone m-1, Untagged): it can be restored until 2026-05-02T11:00:00Z, by applying ArtifactManifest m again.
`},
		"Unseen": {"nothing was uploaded, so that nothing can be restored", seen(stores, nil, plugintest.Manifest("m", func(m *v1alpha1.ArtifactManifest) { m.Status.Artifacts = nil })), am("m"), `
artifactmanifests/p/m

Nothing keeps it: deleting is allowed; there is nothing to restore afterwards, because none of its artifacts has been seen in the registry.
`},
		"GoneWithItsStore": {"what restores it is said once for all its tags, with the store", seen(nil, []v1alpha1.Tombstone{tombstone("m-1", "m", v1alpha1.TombstoneUntagged, another)}), am("m"), `
artifactmanifests/p/m

It does not exist any more. To restore what can be restored, apply it again.

Released:
  Each of 2 tags (tombstone m-1, Untagged): it can be restored until 2026-05-02T11:00:00Z, by applying an ArtifactStore with the URL https://R.example.com:443/acme/ and then ArtifactManifest m again.
    acme/m/upf:1
    acme/m/smf:1
`},
		"Tombstone": {"a definition that is stored keeps it from the purge", seen(stores, []v1alpha1.Tombstone{tombstone("m-1", "m", v1alpha1.TombstoneKept, func(t *v1alpha1.Tombstone) {
			t.Annotations = map[string]string{v1alpha1.AnnotationExpireNow: ""}
		})}, plugintest.Definition("d", "m")), reference.Object{Kind: v1alpha1.KindTombstone, Namespace: "p", Name: "m-1"}, `
tombstones/p/m-1

A tombstone protects nothing and is protected by nothing. If you delete it, what it records can no longer be restored, and the digests stay in the registry.

Released:
  acme/m/upf:1 (tombstone m-1, Kept): its grace ended 2026-05-01T11:00:00Z; it can be restored, by applying ArtifactManifest m again; networkfunctiondefinitionversions/p/d names artifactmanifests/p/m, which keeps it from a purge.
`},
		"Store": {"its manifests keep it", seen(stores, nil, plugintest.Manifest("m")), reference.Object{Kind: v1alpha1.KindArtifactStore, Namespace: "p", Name: "acme"}, `
artifactstores/p/acme
└── artifactmanifests/p/m

Deleting it is refused, because it is in use. It is needed by: artifactmanifests/p/m. Delete these objects or change what they reference, and then every object between them and this one.
`},
		"Site": {"a site is a root", seen(stores, nil, plugintest.Site("p", "a", "n")), reference.Object{Kind: v1alpha1.KindSite, Namespace: "p", Name: "a"}, `
sitenetworkservices/p/a

Nothing keeps it: deleting is allowed, and applying it again brings it back.
`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, found := tc.seen.aboutObject(tc.ask)
			var b bytes.Buffer
			if err := a.write(&b); err != nil || !found {
				t.Fatalf("%s: found %t, error %v", tc.reason, found, err)
			}
			if diff := cmp.Diff(strings.TrimPrefix(tc.want, "\n"), b.String()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestWhyImage(t *testing.T) {
	t.Parallel()
	stores := []v1alpha1.ArtifactStore{store()}
	released := []v1alpha1.Tombstone{tombstone("m-1", "m", v1alpha1.TombstoneUntagged)}
	const kept = `
└── artifactmanifests/p/m (lists upf:1, Present ` + plugintest.One + `)
    └── networkfunctiondefinitionversions/p/d (artifact upf:~1, by on-m)

As long as a manifest lists it, no purge deletes it. artifactmanifests/p/m: Deleting it is refused, because it is in use. It is needed by: networkfunctiondefinitionversions/p/d. Delete these objects or change what they reference, and then every object between them and this one.
`
	const free = `

Released:
  acme/m/upf:1 (tombstone m-1, Untagged): it can be restored until 2026-05-02T11:00:00Z, by applying ArtifactManifest m again.
`
	for name, tc := range map[string]struct {
		reason string
		seen   *evidence
		image  string
		want   string
	}{
		"Tag":       {"by tag", seen(stores, nil, plugintest.Manifest("m"), plugintest.Definition("d", "m")), "r.example.com/acme/m/upf:1", kept},
		"Digest":    {"by digest, as it was last seen", seen(stores, nil, plugintest.Manifest("m"), plugintest.Definition("d", "m")), "R.example.com:443/acme/m/upf@" + plugintest.One, kept},
		"Satellite": {"a signature lives with what it signs", seen(stores, nil, plugintest.Manifest("m"), plugintest.Definition("d", "m")), "r.example.com/acme/m/upf:sha256-" + strings.TrimPrefix(plugintest.One, "sha256:") + ".sig", kept},
		"NotYet": {"listed, and not seen yet", seen(stores, nil, plugintest.Manifest("m")), "r.example.com/acme/m/new:1", `
└── artifactmanifests/p/m (lists new:1)

As long as a manifest lists it, no purge deletes it. artifactmanifests/p/m: Nothing keeps it: deleting is allowed; if it is deleted now, it can be restored until 2026-05-02T00:00:00Z (grace period 12h0m0s).
`},
		"Moved": {"by the digest that somebody pushed to a sealed tag", seen(stores, nil, plugintest.Manifest("m", func(m *v1alpha1.ArtifactManifest) {
			m.Status.Artifacts[0].State, m.Status.Artifacts[0].MovedTo = v1alpha1.ArtifactMoved, plugintest.Two
		})), "r.example.com/acme/m/upf@" + plugintest.Two, `
└── artifactmanifests/p/m (lists upf:1, sealed at ` + plugintest.One + `, Moved to ` + plugintest.Two + `)

As long as a manifest lists it, no purge deletes it. artifactmanifests/p/m: Nothing keeps it: deleting is allowed; if it is deleted now, it can be restored until 2026-05-02T00:00:00Z (grace period 12h0m0s).
`},
		"Released":   {"by tag, from its tombstone", seen(stores, released), "r.example.com/acme/m/upf:1", "\n\nNo manifest lists it; what was released of it is below.\n" + free[1:]},
		"Quarantine": {"by the tag that keeps it for the purge", seen(stores, released), "r.example.com/acme/m/upf:nfo-undo-111111111111", "\n\nNo manifest lists it; what was released of it is below.\n" + free[1:]},
		"Purged": {"gone permanently", seen(stores, []v1alpha1.Tombstone{tombstone("m-1", "m", v1alpha1.TombstonePurged)}), "r.example.com/acme/m/upf@" + plugintest.Two,
			"\n\nNo manifest lists it; what was released of it is below.\n\nReleased:\n  acme/m/upf:1 (tombstone m-1, Purged): it is deleted from the registry permanently.\n"},
		"Pinned": {"a definition deploys what no manifest lists any more", seen(stores, nil, plugintest.Manifest("m"), deploying(plugintest.Definition("d", "m"), plugintest.Two), plugintest.Design("n", "d", "")), "r.example.com/acme/m/upf@" + plugintest.Two, `
└── networkfunctiondefinitionversions/p/d (deploys it as on-m)
    └── networkservicedesignversions/p/n (by site)

No manifest lists it. As long as a definition deploys it, no purge deletes it. It is needed by: networkservicedesignversions/p/n.
`},
		"PinnedImage": {"as an image of its chart", seen(stores, nil, deploying(plugintest.Definition("d", "m"), plugintest.One, v1alpha1.ChartImage{Repository: "acme/m/img", Digest: plugintest.Two})), "r.example.com/acme/m/img@" + plugintest.Two, `
└── networkfunctiondefinitionversions/p/d (deploys it as on-m)

No manifest lists it. As long as a definition deploys it, no purge deletes it. It is needed by: networkfunctiondefinitionversions/p/d.
`},
		"PinnedElsewhere": {"the same name in a repository of another place", seen([]v1alpha1.ArtifactStore{stores[0], store(func(s *v1alpha1.ArtifactStore) {
			s.Name, s.Spec.Registry.URL = "other", "https://other.example.com/acme"
		})}, nil, plugintest.Manifest("m", func(m *v1alpha1.ArtifactManifest) { m.Spec.ArtifactStoreRef.Name = "other" }), deploying(plugintest.Definition("d", "m"), plugintest.Two)), "r.example.com/acme/m/upf@" + plugintest.Two,
			"\n\nNo manifest lists it and no tombstone has it: nothing here deletes it. It is in the path of artifactstores/p/acme.\n"},
		"Nobody": {"in the path, and nobody's", seen(stores, released, plugintest.Manifest("m")), "r.example.com/acme/m2/upf:1", "\n\nNo manifest lists it and no tombstone has it: nothing here deletes it. It is in the path of artifactstores/p/acme.\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i, err := parseImage(tc.image)
			if err != nil {
				t.Fatal(err)
			}
			s := i.in(tc.seen.stores)
			if s == nil {
				t.Fatalf("%s: it is in no store", tc.reason)
			}
			var b bytes.Buffer
			if err := tc.seen.aboutImage(i, s).write(&b); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.image+tc.want, b.String()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestWhatCannotBeSeenIsSaid(t *testing.T) {
	t.Parallel()
	e := seen([]v1alpha1.ArtifactStore{store()}, nil, plugintest.Design("n", "d", ""))
	e.unseen = []string{"sites were not looked at"}
	a, _ := e.aboutObject(reference.Object{Kind: v1alpha1.KindDesign, Namespace: "p", Name: "n"})
	if !strings.Contains(a.Verdict, "Others may") || strings.Contains(a.Verdict, "allowed") {
		t.Errorf("the verdict is %q", a.Verdict)
	}
	j, err := json.Marshal(a)
	if err != nil || !strings.Contains(string(j), `"incomplete":["sites were not looked at"]`) || !strings.Contains(string(j), `"kept":false`) {
		t.Errorf("as JSON: %s, %v", j, err)
	}
	if _, found := e.aboutObject(reference.Object{Kind: v1alpha1.KindArtifactManifest, Namespace: "p", Name: "nobody"}); found {
		t.Error("something was found that nobody has made")
	}
}

func TestParseImage(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason, image string
		want          image
		bad           string
	}{
		"Tag":       {reason: "host, repository, tag", image: "r:5000/a/b:1", want: image{plugin.ImageReference{Host: "r:5000", Repository: "a/b", Tag: "1"}}},
		"Digest":    {reason: "by digest", image: "r/a@" + plugintest.One, want: image{plugin.ImageReference{Host: "r", Repository: "a", Digest: plugintest.One}}},
		"Both":      {reason: "the digest counts", image: "r/a:1@" + plugintest.One, want: image{plugin.ImageReference{Host: "r", Repository: "a", Tag: "1", Digest: plugintest.One}}},
		"NoHost":    {reason: "no default", image: "nginx:1", bad: "registry's host"},
		"NoTag":     {reason: "nor a default tag", image: "r:5000/a", bad: "neither a tag nor a digest"},
		"BadTag":    {reason: "no tag", image: "r/a:-", bad: "is not an image"},
		"BadName":   {reason: "no repository", image: "r/A:1", bad: "lowercase"},
		"BadDigest": {reason: "no digest", image: "r/a@sha256:12", bad: "is not an image"},
		"BadHost":   {reason: "no host", image: "r:99999999/a:1", bad: "the host"},
		"Scheme":    {reason: "no URL", image: "https://r/a:1", bad: "is not an image"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := parseImage(tc.image)
			if tc.bad != "" {
				if err == nil || !strings.Contains(err.Error(), tc.bad) {
					t.Errorf("%s: error %v, want %q", tc.reason, err, tc.bad)
				}
				return
			}
			tc.want.Written = tc.image
			if err != nil || got != tc.want {
				t.Errorf("%s: %+v, error %v", tc.reason, got, err)
			}
		})
	}
}

func TestImageIsInOneStore(t *testing.T) {
	t.Parallel()
	at := func(name, url string, age int64) v1alpha1.ArtifactStore {
		s := store()
		s.Name, s.UID, s.Spec.Registry.URL, s.CreationTimestamp = name, types.UID(name), url, metav1.Unix(age, 0)
		return s
	}
	all := []v1alpha1.ArtifactStore{at("a", "https://r/acme", 1), at("b", "http://r:5000", 1), at("c", "https://r/other", 1), at("none", "nonsense", 1), at("younger", "https://r/acme/m", 2),
		at("hub", "https://registry-1.docker.io/acme", 1), at("library", "https://index.docker.io/library", 1)}
	for reference, want := range map[string]string{
		"r/acme/m/a:1": "a", "r:443/acme/m/a:1": "a", "r:80/acme/m/a:1": "a", "r/acme2/m/a:1": "", "r:5000/any/thing:1": "b", "r/acme:1": "", "R/other/x:1": "c", "s/acme/x:1": "",
		"docker.io/acme/upf-1.0.0/upf:1": "hub", "index.docker.io/acme/upf-1.0.0/upf:1": "hub", "docker.io/nginx:1": "library", "docker.io/other/upf:1": "",
	} {
		i, err := parseImage(reference)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if s := i.in(all); s != nil {
			got = s.Name
		}
		if got != want {
			t.Errorf("%s is in store %q, want %q", reference, got, want)
		}
	}
}

package inventory

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

const (
	one = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
	two = "sha256:2222222222222222222222222222222222222222222222222222222222222222"
)

var at = v1alpha1.RegistryLocation{Host: "r.example.com", Prefix: "acme"}

// aManifest lists a:1 and b:1.
func aManifest(change ...func(*v1alpha1.ArtifactManifest)) *v1alpha1.ArtifactManifest {
	m := &v1alpha1.ArtifactManifest{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "m", Generation: 3}}
	m.Spec.UploadPath = v1alpha1.ManifestScoped
	m.Spec.Artifacts = []v1alpha1.ManifestArtifact{{ArtifactName: "a", ArtifactVersion: "1"}, {ArtifactName: "b", ArtifactVersion: "1"}}
	for _, c := range change {
		c(m)
	}
	return m
}

func recorded(name, repository, digest string) func(*v1alpha1.ArtifactManifest) {
	return func(m *v1alpha1.ArtifactManifest) {
		m.Status.Artifacts = append(m.Status.Artifacts, v1alpha1.ArtifactStatus{ArtifactName: name, ArtifactVersion: "1", Repository: repository, Digest: digest, State: v1alpha1.ArtifactPresent})
	}
}

func seal(m *v1alpha1.ArtifactManifest) { m.Spec.ArtifactManifestState = v1alpha1.ManifestUploaded }

func annotated(digests ...string) func(*v1alpha1.ArtifactManifest) {
	return func(m *v1alpha1.ArtifactManifest) {
		m.Annotations = map[string]string{v1alpha1.AnnotationSealedDigests: strings.Join(digests, ",")}
	}
}

func looked(generation int64) func(*v1alpha1.ArtifactManifest) {
	return func(m *v1alpha1.ArtifactManifest) {
		m.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionUploaded, Status: metav1.ConditionTrue, ObservedGeneration: generation}}
	}
}

// An entry that left the spec and was not released remains an entry:
// an artifact that Entries omits is neither protected nor released.
func TestI1EntriesForgetNothing(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		reason   string
		manifest *v1alpha1.ArtifactManifest
		want     []string // repository:version@digest
	}{
		"New":       {"nothing is recorded", aManifest(), []string{"acme/m/a:1@", "acme/m/b:1@"}},
		"Recorded":  {"what was seen is known", aManifest(recorded("b", "acme/m/b", one)), []string{"acme/m/a:1@", "acme/m/b:1@" + one}},
		"Left":      {"what left the spec comes after it", aManifest(recorded("old", "acme/m/old", one), recorded("a", "acme/m/a", two)), []string{"acme/m/a:1@" + two, "acme/m/b:1@", "acme/m/old:1@" + one}},
		"Upgraded":  {"what was at the old path is not at the new one", aManifest(recorded("a", "acme/a", one)), []string{"acme/m/a:1@", "acme/m/b:1@"}},
		"OldForm":   {"a StoreScoped one has no path of its own", aManifest(func(m *v1alpha1.ArtifactManifest) { m.Spec.UploadPath = v1alpha1.StoreScoped }), []string{"acme/a:1@", "acme/b:1@"}},
		"Sealed":    {"what was sealed outlives the status", aManifest(seal, annotated(one, two)), []string{"acme/m/a:1@" + one, "acme/m/b:1@" + two}},
		"Unsealed":  {"an annotation alone seals nothing", aManifest(annotated(one, two)), []string{"acme/m/a:1@", "acme/m/b:1@"}},
		"Short":     {"one that does not fit says nothing", aManifest(seal, annotated(one)), []string{"acme/m/a:1@", "acme/m/b:1@"}},
		"NoDigest":  {"nor does one that is not one", aManifest(seal, annotated(one, "x")), []string{"acme/m/a:1@", "acme/m/b:1@"}},
		"Statusful": {"a status goes before the annotation", aManifest(seal, annotated(one, two), recorded("a", "acme/m/a", two)), []string{"acme/m/a:1@" + two, "acme/m/b:1@" + two}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, e := range Entries(tc.manifest, at) {
				got = append(got, e.Repository+":"+e.ArtifactVersion+"@"+e.Digest)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s: -want +got\n%s", tc.reason, diff)
			}
		})
	}
}

// A digest is promised once a poll after the sealing has confirmed
// it: before that, a push by the publisher is not a moved tag.
func TestI1WhatIsSealedIsPromised(t *testing.T) {
	t.Parallel()
	going := func(m *v1alpha1.ArtifactManifest) { m.DeletionTimestamp = new(metav1.Now()) }
	tests := map[string]struct {
		reason            string
		manifest          *v1alpha1.ArtifactManifest
		sealed, isSealing bool
	}{
		"Open":         {"it may be overwritten", aManifest(looked(3)), false, false},
		"OldForm":      {"its artifacts are not its own", aManifest(seal, func(m *v1alpha1.ArtifactManifest) { m.Spec.UploadPath = v1alpha1.StoreScoped }), false, false},
		"NotLooked":    {"nobody has looked since", aManifest(seal, looked(2)), true, true},
		"Looked":       {"somebody has", aManifest(seal, looked(3)), true, false},
		"Going":        {"the begin of a deletion is a generation too", aManifest(seal, looked(2), going), true, false},
		"Annotated":    {"it is recorded what was sealed", aManifest(seal, annotated(one, two)), true, false},
		"Never":        {"nobody has ever looked", aManifest(seal), true, true},
		"StatusHalved": {"the conditions were lost, the digests were not", aManifest(seal, recorded("a", "acme/m/a", one)), true, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if Sealed(tc.manifest) != tc.sealed || Sealing(tc.manifest) != tc.isSealing || Promised(tc.manifest) != (tc.sealed && !tc.isSealing) {
				t.Errorf("%s: sealed %t, sealing %t, promised %t", tc.reason, Sealed(tc.manifest), Sealing(tc.manifest), Promised(tc.manifest))
			}
		})
	}
	m := aManifest(func(m *v1alpha1.ArtifactManifest) { m.Spec.UploadPath = v1alpha1.StoreScoped })
	if up := Upgraded(m); up.Spec.UploadPath != v1alpha1.ManifestScoped || m.Spec.UploadPath != v1alpha1.StoreScoped {
		t.Error("an upgrade is looked at in a copy")
	}
}

func TestWhatIsNotThereIsSaid(t *testing.T) {
	t.Parallel()
	status := func(state v1alpha1.ArtifactState, digest, moved, reason string) v1alpha1.ArtifactStatus {
		return v1alpha1.ArtifactStatus{Repository: "acme/m/a", ArtifactVersion: "1", State: state, Digest: digest, MovedTo: moved, Reason: reason, MediaType: "m", Size: 1}
	}
	all := []v1alpha1.ArtifactStatus{
		status(v1alpha1.ArtifactPresent, "d", "", ""), status(v1alpha1.ArtifactMissing, "", "", ""), status(v1alpha1.ArtifactMissing, "d", "", ""),
		status(v1alpha1.ArtifactMissing, "d", "", "lost"), status(v1alpha1.ArtifactMoved, "d", "e", ""), status(v1alpha1.ArtifactMoved, "d", "e", "lost"),
	}
	if diff := cmp.Diff([]string{
		"acme/m/a:1", "acme/m/a:1 (last seen at d)", "acme/m/a:1 (last seen at d, which is not in the registry any more: push it again)",
	}, Missing(all)); diff != "" {
		t.Errorf("missing: -want +got\n%s", diff)
	}
	if diff := cmp.Diff([]string{
		"acme/m/a:1 (sealed at d, now at e)", "acme/m/a:1 (sealed at d, which is not in the registry any more: push it again, now at e)",
	}, Moved(all)); diff != "" {
		t.Errorf("moved: -want +got\n%s", diff)
	}
	if last := LastSeen(all[4]); last.Digest != "e" || last.Size != 0 {
		t.Errorf("it was last seen at %+v", last)
	}
	if last := LastSeen(all[0]); last.Digest != "d" || last.Size != 1 {
		t.Errorf("it was last seen at %+v", last)
	}
}

// An image of a chart is held in the manifest where it is found.
// Which manifest that is must not change with the order of lists.
func TestAnImageIsFoundInOneManifest(t *testing.T) {
	t.Parallel()
	c := Catalogue{}
	for _, name := range []string{"z", "b", "self"} {
		m := aManifest(recorded("lib/upf", "acme/"+name+"/lib/upf", one))
		m.Name, m.Spec.Artifacts = name, []v1alpha1.ManifestArtifact{{ArtifactName: "lib/upf", ArtifactVersion: "1"}}
		c.Add(m, at)
	}
	tests := map[string]struct {
		reason, image, before string
		places                []string
		want                  string
	}{
		"ByName":   {"the first by name has it", "lib/upf:1", "", nil, "b"},
		"Before":   {"it stays where it was", "lib/upf:1", "z", nil, "z"},
		"ByPath":   {"its path says which", "acme/z/lib/upf:1", "", []string{"acme/z/lib/upf"}, "z"},
		"ByDigest": {"a digest counts more than a tag", "lib/upf:other@" + one, "", nil, "b"},
		"NoDigest": {"that digest is nowhere", "lib/upf:1@" + two, "", nil, ""},
		"NoTag":    {"that tag is nowhere", "lib/upf:2", "", nil, ""},
		"Untagged": {"any tag will do", "lib/upf", "", nil, "b"},
		"Else":     {"nobody lists it", "lib/amf:1", "", nil, ""},
		"OtherDir": {"the last segment alone does not name it", "other/upf:1", "", nil, ""},
		"GoneThen": {"it is no longer where it was", "lib/upf:1", "gone", nil, "b"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			image := ParseImage(tc.image)
			image.Places = tc.places
			got := ""
			if l := c.Find(image, "self", tc.before); l != nil {
				got = l.Manifest
			}
			if got != tc.want {
				t.Errorf("%s: it is found in %q, want %q", tc.reason, got, tc.want)
			}
		})
	}
}

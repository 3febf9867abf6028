package reference

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

func manifest(name string, artifacts ...string) *v1alpha1.ArtifactManifest {
	m := &v1alpha1.ArtifactManifest{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name}}
	m.Spec.ArtifactStoreRef.Name = "acme"
	for _, a := range artifacts {
		m.Spec.Artifacts = append(m.Spec.Artifacts, v1alpha1.ManifestArtifact{ArtifactName: a, ArtifactVersion: "1"})
	}
	return m
}

func byManifest(name string) v1alpha1.ArtifactSource {
	return v1alpha1.ArtifactSource{ArtifactManifestRef: &v1alpha1.LocalReference{Name: name}}
}

func byStore(name string) v1alpha1.ArtifactSource {
	return v1alpha1.ArtifactSource{ArtifactStoreRef: &v1alpha1.LocalReference{Name: name}}
}

func definition(name string, source v1alpha1.ArtifactSource, chart string) *v1alpha1.NetworkFunctionDefinitionVersion {
	d := &v1alpha1.NetworkFunctionDefinitionVersion{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name}}
	d.Spec.NetworkFunctionTemplate.NetworkFunctionApplications = []v1alpha1.NetworkFunctionApplication{{
		Name: "app",
		ArtifactProfile: v1alpha1.HelmApplicationProfile{
			ArtifactSource:      source,
			HelmArtifactProfile: v1alpha1.HelmArtifactProfile{HelmPackageName: chart, HelmPackageVersionRange: "~1.0.0"},
		},
	}}
	return d
}

func design(name string, source v1alpha1.ArtifactSource, artifact, nfdv string) *v1alpha1.NetworkServiceDesignVersion {
	d := &v1alpha1.NetworkServiceDesignVersion{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name}}
	c := v1alpha1.ResourceElementConfiguration{}
	if artifact != "" {
		c.ArtifactProfile = &v1alpha1.TemplateArtifactProfile{ArtifactSource: source, ArtifactName: artifact, ArtifactVersion: "1"}
	}
	if nfdv != "" {
		c.NetworkFunctionDefinitionVersionRef = &v1alpha1.LocalReference{Name: nfdv}
	}
	d.Spec.ResourceElementTemplates = []v1alpha1.ResourceElementTemplate{{Name: "site", Configuration: c}}
	return d
}

func TestOf(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		reason string
		object client.Object
		want   []Reference
	}{
		"Manifest": {
			reason: "a manifest names its store",
			object: manifest("m"),
			want:   []Reference{{To: Object{"ArtifactStore", "ns", "acme"}}},
		},
		"Definition": {
			reason: "a definition names manifests",
			object: definition("d", byManifest("m"), "chart"),
			want:   []Reference{{To: Object{"ArtifactManifest", "ns", "m"}, Artifact: "chart", Version: "~1.0.0", Application: "app"}},
		},
		"OldForm": {
			reason: "a definition in the old form names its store",
			object: definition("d", byStore("acme"), "chart"),
			want:   []Reference{{To: Object{"ArtifactStore", "ns", "acme"}, Artifact: "chart", Version: "~1.0.0", Application: "app"}},
		},
		"Design": {
			reason: "a design names manifests and definitions",
			object: design("d", byManifest("m"), "template", "nfdv"),
			want: []Reference{
				{To: Object{"ArtifactManifest", "ns", "m"}, Artifact: "template", Version: "1", Application: "site"},
				{To: Object{"NetworkFunctionDefinitionVersion", "ns", "nfdv"}, Application: "site"},
			},
		},
		"Both": {
			reason: "I2: an object that names both forms holds both",
			object: definition("d", v1alpha1.ArtifactSource{ArtifactManifestRef: &v1alpha1.LocalReference{Name: "m"}, ArtifactStoreRef: &v1alpha1.LocalReference{Name: "acme"}}, "chart"),
			want: []Reference{
				{To: Object{"ArtifactManifest", "ns", "m"}, Artifact: "chart", Version: "~1.0.0", Application: "app"},
				{To: Object{"ArtifactStore", "ns", "acme"}, Artifact: "chart", Version: "~1.0.0", Application: "app"},
			},
		},
		"Store": {
			reason: "a store names nothing",
			object: &v1alpha1.ArtifactStore{},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tc.want, Of(tc.object)); diff != "" {
				t.Errorf("%s\nOf: -want +got\n%s", tc.reason, diff)
			}
		})
	}
}

// A definition also holds the manifests that contain images of its charts.
// As a holder, it is shown with the chart version that it resolved to.
func TestI1Kept(t *testing.T) {
	t.Parallel()
	d := definition("d", byManifest("m"), "chart")
	d.Status.Applications = []v1alpha1.ApplicationStatus{{Name: "app", Manifest: "m", ArtifactName: "chart", ArtifactVersion: "1.0.7", Images: []v1alpha1.ChartImage{
		{Image: "nginx:1"}, {Image: "base/proxy:1.2", Manifest: "base"}, {Image: "team/tool@sha256:a", Manifest: "tools"},
		{Image: "lib:1@sha256:b", State: v1alpha1.ImageMissing, Manifest: "platforms", Repository: "acme/platforms/lib"},
	}}}
	want := []Reference{
		{To: Object{"ArtifactManifest", "ns", "m"}, Artifact: "chart", Version: "~1.0.0", Application: "app"},
		{To: Object{"ArtifactManifest", "ns", "base"}, Artifact: "proxy", Version: "1.2", Application: "app"},
		{To: Object{"ArtifactManifest", "ns", "tools"}, Artifact: "tool", Version: "sha256:a", Application: "app"},
		{To: Object{"ArtifactManifest", "ns", "platforms"}, Artifact: "lib", Version: "sha256:b", Application: "app"},
	}
	if diff := cmp.Diff(want, Kept(d)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if diff := cmp.Diff(want[:1], Of(d)); diff != "" {
		t.Errorf("what it needs is not what it names: -want +got\n%s", diff)
	}
	for subject, version := range map[string]string{"m": "1.0.7", "base": "1.2", "platforms": "sha256:b"} {
		h, holds := holderOf(d, v1alpha1.KindDefinition, manifest(subject))
		if !holds || len(h.References) != 1 || h.References[0].Version != version {
			t.Errorf("%s: held %t, by %v", subject, holds, h.References)
		}
	}
	d.Spec.NetworkFunctionTemplate.NetworkFunctionApplications[0].ArtifactProfile.HelmArtifactProfile.HelmPackageVersionRange = "~2.0.0"
	if h, _ := holderOf(d, v1alpha1.KindDefinition, manifest("m")); h.References[0].Version != "~2.0.0" {
		t.Errorf("the status is of another range, and it is seen by %v", h.References)
	}
}

func TestSnapshotHolders(t *testing.T) {
	t.Parallel()
	storeScoped := manifest("m", "chart")
	storeScoped.Spec.UploadPath = v1alpha1.StoreScoped
	left := manifest("m")
	left.Status.Artifacts = []v1alpha1.ArtifactStatus{{ArtifactName: "chart"}}
	elsewhere := definition("d", byManifest("m"), "chart")
	elsewhere.Namespace = "other"
	tests := map[string]struct {
		reason  string
		subject client.Object
		objects []client.Object
		want    []string
	}{
		"WholeNames": {
			reason:  "cnfmanifest is not cnfmanifest2, in neither direction",
			subject: manifest("cnfmanifest"),
			objects: []client.Object{definition("a", byManifest("cnfmanifest2"), "x"), definition("b", byManifest("cnfmanifes"), "x")},
		},
		"Sorted": {
			reason:  "holders come in order, each once",
			subject: manifest("m"),
			objects: []client.Object{design("z", byManifest("m"), "x", ""), definition("b", byManifest("m"), "x"), definition("a", byManifest("m"), "x")},
			want:    []string{"networkfunctiondefinitionversions/ns/a", "networkfunctiondefinitionversions/ns/b", "networkservicedesignversions/ns/z"},
		},
		"OtherNamespace": {
			reason:  "references stay inside a namespace",
			subject: manifest("m"),
			objects: []client.Object{elsewhere},
		},
		"I2OldFormHoldsWhatListsTheArtifact": {
			reason:  "a reference to the store holds the manifests that list the artifact",
			subject: manifest("m", "chart"),
			objects: []client.Object{definition("a", byStore("acme"), "chart"), definition("b", byStore("acme"), "chart2"), definition("c", byStore("other"), "chart")},
			want:    []string{"networkfunctiondefinitionversions/ns/a"},
		},
		"I2OldFormHoldsWhatHasNotBeenReleased": {
			reason:  "an entry that left the spec is still held",
			subject: left,
			objects: []client.Object{definition("a", byStore("acme"), "chart")},
			want:    []string{"networkfunctiondefinitionversions/ns/a"},
		},
		"OldFormAndStoreScoped": {
			reason:  "what is never untagged needs no holder",
			subject: storeScoped,
			objects: []client.Object{definition("a", byStore("acme"), "chart")},
		},
		"Store": {
			reason:  "a store is held by manifests and by old forms",
			subject: &v1alpha1.ArtifactStore{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "acme"}},
			objects: []client.Object{manifest("m"), definition("a", byStore("acme"), "chart"), definition("b", byManifest("m"), "chart")},
			want:    []string{"artifactmanifests/ns/m", "networkfunctiondefinitionversions/ns/a"},
		},
		"Definition": {
			reason:  "a definition is held by designs",
			subject: definition("d", byManifest("m"), "x"),
			objects: []client.Object{design("a", byManifest("m"), "", "d"), design("b", byManifest("m"), "", "d2")},
			want:    []string{"networkservicedesignversions/ns/a"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := Snapshot{}
			for _, o := range tc.objects {
				s[Self(o).Kind] = append(s[Self(o).Kind], o)
			}
			var got []string
			for _, h := range s.Holders(tc.subject) {
				got = append(got, h.String())
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\nHolders: -want +got\n%s", tc.reason, diff)
			}
		})
	}
}

func TestRefusal(t *testing.T) {
	t.Parallel()
	m := manifest("cnfmanifest")
	one := Snapshot{"NetworkFunctionDefinitionVersion": {definition("testapp-1.0.0", byManifest("cnfmanifest"), "testapp")}}
	want := `The resource 'artifactmanifests/ns/cnfmanifest' has some resources attached to it. The dependent resources are: "networkfunctiondefinitionversions/ns/testapp-1.0.0" (artifact testapp:~1.0.0, application app)`
	if got := Refusal(Self(m), one.Holders(m)); got != want {
		t.Errorf("I7: Refusal\n got %s\nwant %s", got, want)
	}
	hostile := one.Holders(m)
	hostile[0].References[0].Application = "a\x1b[2J\u202eb\nThe resource is free"
	if got, want := Refusal(Self(m), hostile), "application a?[2J?b The resource is free)"; !strings.HasSuffix(got, want) {
		t.Errorf("Refusal says %q, want one line that a terminal can be shown and that ends with %q", got, want)
	}
	many := Snapshot{}
	for i := range 12 {
		many["NetworkServiceDesignVersion"] = append(many["NetworkServiceDesignVersion"], design(fmt.Sprintf("d%02d", i), byManifest("cnfmanifest"), "x", ""))
	}
	got := Refusal(Self(m), many.Holders(m))
	if !strings.HasSuffix(got, "and 2 more") || strings.Count(got, "networkservicedesignversions/") != 10 {
		t.Errorf("I7: Refusal of 12 holders names %q", got)
	}
	if d := Dependents(many.Holders(m)); *d.DependentCount != 12 || len(d.Dependents) != 12 {
		t.Errorf("Dependents = %d of %d", len(d.Dependents), *d.DependentCount)
	}
}

func TestKeysNeverCollide(t *testing.T) {
	t.Parallel()
	const letters = "ab-."
	r := rand.New(rand.NewPCG(1, 2))
	word := func() string {
		b := make([]byte, 1+r.IntN(4))
		for i := range b {
			b[i] = letters[r.IntN(len(letters))]
		}
		return string(b)
	}
	seen := map[string]Object{}
	for range 20000 {
		o := Object{word(), word(), word()}
		if was, ok := seen[Key(o)]; ok && was != o {
			t.Fatalf("%v and %v share the key %q", was, o, Key(o))
		}
		seen[Key(o)] = o
	}
}

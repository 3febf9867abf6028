package mirrored

import (
	"errors"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/rewrite"
)

func factsOf(t *testing.T, objects ...client.Object) *Facts {
	t.Helper()
	scheme, err := reference.NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build()
	return &Facts{Cached: c, Namespace: "operators", Image: "r.example/nfo:1", Namespaces: &Namespaces{}}
}

func aMirror(namespace, name string, change ...func(*v1alpha1.MirrorSpec)) *v1alpha1.ArtifactStore {
	s := &v1alpha1.ArtifactStore{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	s.Spec.Mirror = &v1alpha1.MirrorSpec{Images: v1alpha1.MirrorAll, PullAddress: "127.0.0.1:7439"}
	for _, c := range change {
		c(s.Spec.Mirror)
	}
	return s
}

// Only the store with the mirror's name in the manager's namespace is the mirror.
func TestOneStoreIsTheMirror(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		reason string
		stores []client.Object
		want   v1alpha1.RewritePolicy
	}{
		{"none", nil, v1alpha1.RewriteNever},
		{"of another namespace", []client.Object{aMirror("publisher", v1alpha1.MirrorName)}, v1alpha1.RewriteNever},
		{"of another name", []client.Object{aMirror("operators", "other")}, v1alpha1.RewriteNever},
		{"the one", []client.Object{aMirror("operators", v1alpha1.MirrorName)}, v1alpha1.RewritePresent},
	} {
		r, err := factsOf(t, tt.stores...).Rules(t.Context())
		if err != nil || r.Policy() != tt.want {
			t.Errorf("%s: %s, %v", tt.reason, r.Policy(), err)
		}
	}
	r, err := factsOf(t, aMirror("operators", v1alpha1.MirrorName)).Rules(t.Context())
	if nfo := (rewrite.Image{Host: "r.example", Repository: "nfo", Tag: "2"}); err != nil || r.Mirrors(nfo) {
		t.Errorf("R6: nfo's own image is mirrored: %v", err)
	}
}

func TestWhatTheMirrorHas(t *testing.T) {
	t.Parallel()
	i := rewrite.Image{Host: "r.example", Repository: "upf", Tag: "1"}
	artifact := func(namespace, source string, state v1alpha1.MirrorState) *v1alpha1.Artifact {
		a := &v1alpha1.Artifact{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: v1alpha1.ArtifactName(i.String())}}
		a.Spec.SourceArtifact, a.Status.State = source, state
		return a
	}
	for _, tt := range []struct {
		reason   string
		artifact *v1alpha1.Artifact
		want     v1alpha1.MirrorState
	}{
		{"it has it", artifact("core", i.String(), v1alpha1.MirrorPresent), v1alpha1.MirrorPresent},
		{"for another namespace", artifact("ran", i.String(), v1alpha1.MirrorPresent), ""},
		{"another image under this name", artifact("core", "evil.example/upf:1", v1alpha1.MirrorPresent), ""},
		{"it has only been asked for", artifact("core", i.String(), ""), v1alpha1.MirrorPending},
		{"a purge has claimed it", artifact("core", i.String(), v1alpha1.MirrorReleasing), v1alpha1.MirrorReleasing},
	} {
		f := factsOf(t, tt.artifact)
		if got, err := f.State(t.Context(), "core", i); err != nil || got != tt.want || f.Present(t.Context(), "core", i) != (tt.want == v1alpha1.MirrorPresent) {
			t.Errorf("%s: %q, %v", tt.reason, got, err)
		}
	}
}

func TestWhoIsSelected(t *testing.T) {
	t.Parallel()
	f := factsOf(t, aMirror("operators", v1alpha1.MirrorName))
	f.Watched = reference.Watched{"core", "operators"}
	r, err := f.Rules(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for namespace, want := range map[string]bool{"core": true, "ran": false, "operators": false} {
		if got, err := f.Selected(t.Context(), r, namespace); err != nil || got != want {
			t.Errorf("%s: %t, %v", namespace, got, err)
		}
	}
	f = factsOf(t, aMirror("operators", v1alpha1.MirrorName, func(m *v1alpha1.MirrorSpec) {
		m.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}}
	}))
	if r, err = f.Rules(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := f.Selected(t.Context(), r, "core"); got || !errors.Is(err, ErrUnknown) {
		t.Errorf("while no labels are known: %t, %v", got, err)
	}
}

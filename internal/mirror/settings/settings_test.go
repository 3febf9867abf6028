package settings

import (
	"errors"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ reason, text, want string }{
		"all":       {"what the chart writes", "mirror: {images: All, refreshPeriod: 5m}\npurge: {schedule: '0 1 * * *', gracePeriod: 24h}\n", ""},
		"none":      {"a store without a mirror is not ours", "purge: {}\n", "mirror is missing"},
		"elsewhere": {"the place is given", "mirror: {}\nregistry: {url: https://r.example}\n", "registry is not a setting"},
		"mistyped":  {"a mistyped field would be lost silently", "mirror: {image: All}\n", "unknown field"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse([]byte(tt.text))
			if tt.want == "" && err != nil || tt.want != "" && (!errors.Is(err, ErrSettings) || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%s: %v, want %q", tt.reason, err, tt.want)
			}
		})
	}
	if s, err := Read(""); s != nil || err != nil {
		t.Errorf("without a file: %v, %v", s, err)
	}
	if _, err := Read(t.TempDir() + "/none"); err == nil {
		t.Error("a missing file is not reported")
	}
}

// What somebody else has made stays, whatever it is called.
func TestRemove(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		reason string
		change func(*v1alpha1.ArtifactStore)
		stays  bool
	}{
		"ours":      {"the mirror was disabled", func(*v1alpha1.ArtifactStore) {}, false},
		"theirs":    {"a person has made it", func(s *v1alpha1.ArtifactStore) { s.Labels = nil }, true},
		"no mirror": {"it was there before", func(s *v1alpha1.ArtifactStore) { s.Spec.Mirror = nil }, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			scheme, err := reference.NewScheme()
			if err != nil {
				t.Fatal(err)
			}
			s := &v1alpha1.ArtifactStore{ObjectMeta: metav1.ObjectMeta{Namespace: "system", Name: v1alpha1.MirrorName, UID: "1", Labels: map[string]string{madeBy: us}, Finalizers: []string{v1alpha1.Finalizer}}}
			s.Spec.Mirror = &v1alpha1.MirrorSpec{}
			tt.change(s)
			api := fake.NewClientBuilder().WithScheme(scheme).WithObjects(s).Build()
			k := &Keeper{Client: api, Live: api, Namespace: "system"}
			for range 2 { // the second time it may be gone
				if err := k.once(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if err := api.Get(t.Context(), client.ObjectKeyFromObject(s), s); apierrors.IsNotFound(err) == tt.stays {
				t.Errorf("%s: %v", tt.reason, err)
			}
		})
	}
}

package settings

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

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

// A store that was created by others is not deleted, even if it has the mirror's name.
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
			for range 2 { // the second time it may not exist any more
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

// settingsOf parses the text of a settings file.
func settingsOf(t *testing.T, text string) Settings {
	t.Helper()
	name := filepath.Join(t.TempDir(), "mirror.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Read(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The store is created from the file, in the registry that nfo ships, and corrected after others have changed it.
func TestApply(t *testing.T) {
	t.Parallel()
	scheme, err := reference.NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	api := fake.NewClientBuilder().WithScheme(scheme).Build()
	k := &Keeper{Client: api, Live: api, Namespace: "system", Settings: settingsOf(t, "mirror: {images: All}\npurge: {schedule: '0 1 * * *'}\n")}
	s := &v1alpha1.ArtifactStore{ObjectMeta: metav1.ObjectMeta{Namespace: "system", Name: v1alpha1.MirrorName}}
	for range 2 {
		if err := k.once(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := api.Get(t.Context(), client.ObjectKeyFromObject(s), s); err != nil {
			t.Fatal(err)
		}
		if s.Spec.Mirror == nil || s.Spec.Mirror.Images != v1alpha1.MirrorAll || s.Spec.Registry.ClusterRegistry == nil || s.Spec.Registry.ClusterRegistry.Prefix != v1alpha1.MirrorPrefix || s.Spec.Purge.Schedule == nil || *s.Spec.Purge.Schedule != "0 1 * * *" || s.Labels[madeBy] != us {
			t.Fatalf("the store is %+v with the labels %v", s.Spec, s.Labels)
		}
		s.Spec.Mirror.Images = v1alpha1.MirrorKnownStores
		if err := api.Update(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFilesThatAreNotRead(t *testing.T) {
	t.Parallel()
	for reason, text := range map[string]string{"too large": "mirror: {} # " + strings.Repeat("x", maxFile), "not YAML": "mirror: {"} {
		name := filepath.Join(t.TempDir(), "mirror.yaml")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := Read(name); s != nil || !errors.Is(err, ErrSettings) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v, %v", reason, s, err)
		}
	}
}

// The Keeper retries soon after an error, and then works every
// minute. Without settings it stops after the first success.
func TestStart(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		settings Settings
		times    []time.Duration // the times of the attempts; the first attempt fails
	}{
		"Mirror": {Settings{"mirror": map[string]any{}}, []time.Duration{0, 5 * time.Second, 65 * time.Second, 125 * time.Second}},
		"None":   {nil, []time.Duration{0, 5 * time.Second}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				scheme, err := reference.NewScheme()
				if err != nil {
					t.Fatal(err)
				}
				begun, tried := time.Now(), []time.Duration{}
				try := func() error {
					if tried = append(tried, time.Since(begun)); len(tried) == 1 {
						return errors.New("the API server is down")
					}
					return nil
				}
				api := fake.NewClientBuilder().WithScheme(scheme).WithInterceptorFuncs(interceptor.Funcs{
					Apply: func(context.Context, client.WithWatch, runtime.ApplyConfiguration, ...client.ApplyOption) error {
						return try()
					},
				}).Build()
				ctx, cancel := context.WithTimeout(t.Context(), 150*time.Second)
				defer cancel()
				if err := (&Keeper{Client: api, Live: getter{api, try}, Namespace: "system", Settings: tt.settings}).Start(ctx); err != nil {
					t.Error(err)
				}
				if !slices.Equal(tried, tt.times) || time.Since(begun) != 150*time.Second {
					t.Errorf("tried after %v, and it ended after %s, want %v and 150 s", tried, time.Since(begun), tt.times)
				}
			})
		})
	}
}

// getter calls try and then reports that the object does not exist.
type getter struct {
	client.Reader
	try func() error
}

func (g getter) Get(_ context.Context, key client.ObjectKey, _ client.Object, _ ...client.GetOption) error {
	if err := g.try(); err != nil {
		return err
	}
	return apierrors.NewNotFound(schema.GroupResource{}, key.Name)
}

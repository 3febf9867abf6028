package plugin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
)

// clusterOf returns kubectl's flags for an API server that serves manifests and pods, and sends deprecation warnings.
func clusterOf(t *testing.T) *genericclioptions.ConfigFlags {
	t.Helper()
	version := metav1.GroupVersionForDiscovery{GroupVersion: v1alpha1.GroupVersion.String(), Version: v1alpha1.GroupVersion.Version}
	m := &v1alpha1.ArtifactManifest{TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: v1alpha1.KindArtifactManifest}, ObjectMeta: metav1.ObjectMeta{Namespace: "p", Name: "m"}}
	answers := map[string]any{
		"/api":    metav1.APIVersions{TypeMeta: metav1.TypeMeta{Kind: "APIVersions"}, Versions: []string{"v1"}},
		"/api/v1": metav1.APIResourceList{GroupVersion: "v1", APIResources: []metav1.APIResource{{Name: "pods", SingularName: "pod", Kind: "Pod", Namespaced: true}}},
		"/apis":   metav1.APIGroupList{Groups: []metav1.APIGroup{{Name: v1alpha1.GroupVersion.Group, Versions: []metav1.GroupVersionForDiscovery{version}, PreferredVersion: version}}},
		"/apis/" + version.GroupVersion: metav1.APIResourceList{GroupVersion: version.GroupVersion, APIResources: []metav1.APIResource{
			{Name: "artifactmanifests", SingularName: "artifactmanifest", ShortNames: []string{"am"}, Kind: v1alpha1.KindArtifactManifest, Namespaced: true},
		}},
		"/apis/" + version.GroupVersion + "/namespaces/p/artifactmanifests/m": m,
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, ok := answers[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Warning", `299 - "this is old"`)
		_ = json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(server.Close)
	flags, cache, namespace := genericclioptions.NewConfigFlags(false), t.TempDir(), "p"
	flags.APIServer, flags.CacheDir, flags.Namespace = &server.URL, &cache, &namespace
	return flags
}

// A resource is named in any form that kubectl accepts, and must be one of nfo's.
func TestConnectFor(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason, resource string
		code             int // 0 if it is found
		says             string
	}{
		"Plural":   {"as in a URL", "artifactmanifests", 0, ""},
		"Singular": {"as in a message", "ArtifactManifest", 0, ""},
		"Short":    {"as people type it", "am", 0, ""},
		"Group":    {"with its group", "am.nfo.dev", 0, ""},
		"Version":  {"and its version", "artifactmanifests.v1alpha1.nfo.dev", 0, ""},
		"Other":    {"a kind of somebody else", "pods", ExitUsage, `"pods" is not one of as, am,`},
		"None":     {"the cluster has no such kind", "artifactstores", ExitFailed, `finding the kind "artifactstores"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			streams, _, _, errOut := genericiooptions.NewTestIOStreams()
			api, namespace, kind, err := ConnectFor(clusterOf(t), streams, tc.resource)
			if tc.code != 0 {
				var failed *Error
				if !errors.As(err, &failed) || failed.Code != tc.code || !strings.Contains(err.Error(), tc.says) {
					t.Errorf("%s: %v, want the code %d and %q", tc.reason, err, tc.code, tc.says)
				}
				return
			}
			if err != nil || namespace != "p" || kind != v1alpha1.KindArtifactManifest {
				t.Fatalf("%s: %s in %s, %v", tc.reason, kind, namespace, err)
			}
			if err := api.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "m"}, &v1alpha1.ArtifactManifest{}); err != nil || !strings.Contains(errOut.String(), "this is old") {
				t.Errorf("%s: %v, and standard error has %q", tc.reason, err, errOut)
			}
		})
	}
}

func TestConnectWithoutACluster(t *testing.T) {
	t.Parallel()
	flags, missing := genericclioptions.NewConfigFlags(false), filepath.Join(t.TempDir(), "kubeconfig")
	flags.KubeConfig = &missing
	streams, _, _, _ := genericiooptions.NewTestIOStreams()
	var failed *Error
	if _, _, _, err := ConnectFor(flags, streams, "am"); !errors.As(err, &failed) || failed.Code != ExitFailed {
		t.Errorf("%v, want the code %d", err, ExitFailed)
	}
}

func TestMirror(t *testing.T) {
	t.Parallel()
	down := errors.New("connection refused")
	store := func(namespace string, mirror *v1alpha1.MirrorSpec) client.Object {
		s := &v1alpha1.ArtifactStore{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: v1alpha1.MirrorName}}
		s.Spec.Mirror = mirror
		return s
	}
	for name, tc := range map[string]struct {
		reason string
		stores []client.Object
		fails  error
		says   string
	}{
		"There":     {"the store of the mirror", []client.Object{store("nfo-system", &v1alpha1.MirrorSpec{})}, nil, ""},
		"None":      {"what to do is said", nil, nil, "no mirror in namespace nfo-system: --mirror-namespace names another one"},
		"Elsewhere": {"it is in another namespace", []client.Object{store("other", &v1alpha1.MirrorSpec{})}, nil, "no mirror in namespace nfo-system"},
		"NoMirror":  {"a store of the name alone is not one", []client.Object{store("nfo-system", nil)}, nil, "no mirror in namespace nfo-system"},
		"Down":      {"the API server does not answer", nil, down, "connection refused"},
	} {
		scheme, err := reference.NewScheme()
		if err != nil {
			t.Fatal(err)
		}
		api := fake.NewClientBuilder().WithScheme(scheme).WithObjects(tc.stores...).WithInterceptorFuncs(interceptor.Funcs{
			Get: func(ctx context.Context, api client.WithWatch, key client.ObjectKey, o client.Object, options ...client.GetOption) error {
				if tc.fails != nil {
					return tc.fails
				}
				return api.Get(ctx, key, o, options...)
			},
		}).Build()
		got, err := Mirror(t.Context(), api, "nfo-system")
		if tc.says == "" && (err != nil || got.Namespace != "nfo-system") || tc.says != "" && (err == nil || !strings.Contains(err.Error(), tc.says)) {
			t.Errorf("%s: %s: %v, want %q", name, tc.reason, err, tc.says)
		}
	}
}

func TestFullNamesOfImages(t *testing.T) {
	t.Parallel()
	for _, image := range []string{"r.example.com:5000/acme/upf:1", "r.example.com/upf@" + digestA, "r.example.com/upf:1@" + digestA} {
		if i, err := ParseImage(image); err != nil || i.Full() != image {
			t.Errorf("%q is written %q: %v", image, i.Full(), err)
		}
	}
}

// JSON keeps its meaning whatever characters its strings have, and contains none that controls a terminal.
func TestWriteJSON(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := WriteJSON(&out, map[string]string{"name": "x\u202e"}); err != nil || out.String() != "{\n  \"name\": \"x\\u202e\"\n}\n" {
		t.Errorf("%q, %v", out.String(), err)
	}
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	if TerminalOf(file) != nil || TerminalOf(&out) != nil {
		t.Error("a file, or a buffer, is a terminal")
	}
}

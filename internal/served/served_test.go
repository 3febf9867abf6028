package served

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

const missing = `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404,"message":"no such manifest"}`

// answering is a server that answers every request with a 404 of this format and content.
func answering(t *testing.T, format, content string) *rest.Config {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", format)
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, content)
	}))
	t.Cleanup(s.Close)
	kube := &rest.Config{Host: s.URL}
	kube.Wrap(Wrap)
	return kube
}

func TestI2OnlyAStatusSaysThatAnObjectDoesNotExist(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		format, content string
		gone            bool
	}{
		"a Status":             {"application/json", missing, true},
		"with a charset":       {"application/json; charset=utf-8", missing, true},
		"a kind not served":    {"text/plain; charset=utf-8", "404 page not found\n", false},
		"a page of a proxy":    {"text/html", "<html>no such backend</html>", false},
		"JSON of a proxy":      {"application/json", `{"error":"no such backend"}`, false},
		"a gateway's problem":  {"application/problem+json", missing, false},
		"bytes":                {"application/octet-stream", missing, false},
		"Kubernetes' own":      {"application/vnd.kubernetes.protobuf", "k8s\x00", true},
		"JSON that is cut off": {"application/json", missing[:40], false},
		"nothing":              {"", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api, err := dynamic.NewForConfig(answering(t, tt.format, tt.content))
			if err != nil {
				t.Fatal(err)
			}
			_, err = api.Resource(v1alpha1.GroupVersion.WithResource("artifactmanifests")).Namespace("ns").Get(t.Context(), "m", metav1.GetOptions{})
			if apierrors.IsNotFound(err) != tt.gone || apierrors.IsServiceUnavailable(err) == tt.gone {
				t.Errorf("the client understands %v; that it does not exist: %t, want %t", err, apierrors.IsNotFound(err), tt.gone)
			}
			if !tt.gone && !strings.Contains(err.Error(), "does not serve /apis/nfo.dev/v1alpha1/namespaces/ns/artifactmanifests/m now") {
				t.Errorf("the error does not say what is not served: %v", err)
			}
		})
	}
}

func TestALongStatusIsHandedOnWhole(t *testing.T) {
	t.Parallel()
	long := strings.Replace(missing, "no such manifest", strings.Repeat("x", 2*maxStatus), 1)
	resp, err := send(t, answering(t, "application/json", long), "/api/v1/namespaces/ns/secrets/s")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(resp.Body); err != nil || string(got) != long || resp.StatusCode != http.StatusNotFound {
		t.Errorf("got %d with %d bytes, %v; want 404 with %d", resp.StatusCode, len(got), err, len(long))
	}
}

func TestWhichRequestsAreForObjects(t *testing.T) {
	t.Parallel()
	kube := answering(t, "text/plain", "404 page not found")
	for path, objects := range map[string]bool{
		"/api/v1/secrets":                                      true,
		"/api/v1/namespaces/api/secrets/apis":                  true,
		"/apis/nfo.dev/v1alpha1/artifactmanifests":             true,
		"/k8s/clusters/c/apis/nfo.dev/v1alpha1/artifactstores": true,
		"/k8s/clusters/c/api/v1/namespaces/apis/pods/p":        true,
		"/api/endpoints/1/kubernetes/apis/nfo.dev/v1alpha1":    false,
		"/api/endpoints/1/kubernetes/api/v1/pods":              true,
		"/api":                   false,
		"/api/v1":                false,
		"/apis":                  false,
		"/apis/nfo.dev":          false,
		"/apis/nfo.dev/v1alpha1": false,
		"/openapi/v3":            false,
		"/":                      false,
	} {
		resp, err := send(t, kube, path)
		if err != nil {
			t.Fatal(err)
		}
		if changed := resp.StatusCode == http.StatusServiceUnavailable; changed != objects {
			t.Errorf("%s answers %d; a request for objects: %t", path, resp.StatusCode, objects)
		}
	}
}

func send(t *testing.T, kube *rest.Config, path string) (*http.Response, error) {
	t.Helper()
	through, err := rest.HTTPClientFor(kube)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, kube.Host+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := through.Do(req)
	if err == nil {
		t.Cleanup(func() { _ = resp.Body.Close() })
	}
	return resp, err
}

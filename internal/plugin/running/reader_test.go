package running

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericclioptions"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// If the user may not list pods, the answer says so, and not that nothing runs.
func TestReaderOfAClusterThatDenies(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusForbidden)
		_ = json.NewEncoder(w).Encode(metav1.Status{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: "Failure", Reason: metav1.StatusReasonForbidden, Code: http.StatusForbidden, Message: "no"})
	}))
	t.Cleanup(server.Close)
	flags := genericclioptions.NewConfigFlags(false)
	flags.APIServer = &server.URL
	read, err := NewReader(flags)
	if err != nil {
		t.Fatal(err)
	}
	s := store(v1alpha1.WorkloadPods)
	s.Spec.Registry.URL = "https://r.example.com/acme"
	r, err := read.Of(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if !r.Selected || !strings.Contains(r.Missing, "Pods: you may not") {
		t.Errorf("selected %t, missing %q", r.Selected, r.Missing)
	}
}

func TestReaderOfNoCluster(t *testing.T) {
	t.Parallel()
	flags := genericclioptions.NewConfigFlags(false)
	none, missing := "https://127.0.0.1:1", "/does/not/exist"
	flags.APIServer, flags.CAFile = &none, &missing
	if _, err := NewReader(flags); err == nil || !strings.Contains(err.Error(), missing) {
		t.Errorf("certificates that do not exist: %v", err)
	}
}

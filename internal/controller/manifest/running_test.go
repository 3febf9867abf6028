package manifest

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/workload"
)

// While workloads cannot be read, a manifest must still be reported as used by the
// workloads that were seen using it: people delete what a status reports as unused.
func TestI2WhatWasSeenUsingAManifestIsNotForgotten(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte(`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403}`))
	}))
	t.Cleanup(server.Close)
	reader, err := workload.NewReader(&rest.Config{Host: server.URL}, server.Client(), nil, clock.RealClock{}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	s := &v1alpha1.ArtifactStore{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "acme", UID: "acme"}}
	s.Spec.Registry.URL, s.Spec.Workloads = "https://r.example/acme", &v1alpha1.WorkloadsSpec{Sources: []v1alpha1.WorkloadSource{v1alpha1.WorkloadPods}}
	known := workload.NewKnown(reader)
	if reading, err := known.Live(t.Context(), s); err != nil || reading.Unreadable() == nil {
		t.Fatalf("it could be read: %v", err)
	}
	m := &v1alpha1.ArtifactManifest{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "m"}}
	m.Status.Dependents.Dependents = []v1alpha1.Dependent{{Kind: "Deployment", Namespace: "ran", Name: "upf", Artifacts: []string{"upf:1"}}}
	l, err := s.Location()
	if err != nil {
		t.Fatal(err)
	}
	if held := (&Reconciler{Workloads: known}).running(m, s, l); len(held) != 1 || held[0].Name != "upf" {
		t.Errorf("it is used by %v", held)
	}
}

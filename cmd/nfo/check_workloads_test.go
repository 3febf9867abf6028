package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
)

func TestCheckWorkloads(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	read := func(name v1alpha1.WorkloadSource, state v1alpha1.WorkloadSourceState, message string) v1alpha1.WorkloadSourceStatus {
		return v1alpha1.WorkloadSourceStatus{Name: name, State: state, Objects: 12, Uses: 1, Message: message}
	}
	store := func(edit func(*v1alpha1.ArtifactStore), sources ...v1alpha1.WorkloadSourceStatus) client.Object {
		s := &v1alpha1.ArtifactStore{ObjectMeta: metav1.ObjectMeta{Namespace: "p", Name: "acme"}}
		s.Spec.Workloads = &v1alpha1.WorkloadsSpec{Sources: []v1alpha1.WorkloadSource{v1alpha1.WorkloadPods, v1alpha1.WorkloadControllers}}
		s.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ConditionReady}}
		s.Status.Workloads = &v1alpha1.WorkloadsStatus{ObservedAt: metav1.NewTime(now.Add(-4 * time.Minute)), Sources: sources}
		if edit != nil {
			edit(s)
		}
		return s
	}
	const pods = "ok: artifactstores/p/acme: Pods read 4m0s ago (12 objects, 1 use of the store)"
	well := read(v1alpha1.WorkloadPods, v1alpha1.WorkloadsRead, "")
	tests := map[string]struct {
		reason string
		stores []client.Object
		lines  []string
		says   string
	}{
		"none":          {reason: "there is nothing to read"},
		"nobody counts": {reason: "the store selects no workloads", stores: []client.Object{store(func(s *v1alpha1.ArtifactStore) { s.Spec.Workloads = nil })}},
		"inert":         {reason: "the operator does nothing with it", stores: []client.Object{store(func(s *v1alpha1.ArtifactStore) { s.Status.Conditions[0].Reason = v1alpha1.ReasonPathConflict })}},
		"read": {reason: "a line for each source, in the order of the spec", stores: []client.Object{store(nil, read(v1alpha1.WorkloadControllers, v1alpha1.WorkloadsNotInstalled, ""), well)},
			lines: []string{pods, "ok: artifactstores/p/acme: Controllers not installed 4m0s ago"}},
		"denied": {reason: "nothing of the store is released", stores: []client.Object{store(nil, well, read(v1alpha1.WorkloadControllers, v1alpha1.WorkloadsDenied, "grant it"))},
			lines: []string{pods, "failed: artifactstores/p/acme: Controllers denied 4m0s ago: grant it"}, says: `could not read 1 source of what workloads run`},
		"failed": {reason: "all faults are shown at once", stores: []client.Object{store(nil, read(v1alpha1.WorkloadPods, v1alpha1.WorkloadsFailed, "too many\nuses"), read(v1alpha1.WorkloadControllers, v1alpha1.WorkloadsDenied, "grant it"))},
			lines: []string{"failed: artifactstores/p/acme: Pods failed 4m0s ago: too many uses", "failed: artifactstores/p/acme: Controllers denied 4m0s ago: grant it"}, says: "2 sources"},
		"not yet": {reason: "the store has just been changed", stores: []client.Object{store(nil, well)},
			lines: []string{pods, "failed: artifactstores/p/acme: Controllers: the operator has not read it yet; see kubectl describe artifactstore -n p acme"}, says: "1 source"},
		"never": {reason: "the store is new", stores: []client.Object{store(func(s *v1alpha1.ArtifactStore) {
			s.Spec.Workloads.Sources, s.Status.Workloads = s.Spec.Workloads.Sources[:1], nil
		})},
			lines: []string{"failed: artifactstores/p/acme: Pods: the operator has not read it yet; see kubectl describe artifactstore -n p acme"}, says: "1 source"},
	}
	for title, test := range tests {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			scheme, err := reference.NewScheme()
			if err != nil {
				t.Fatal(err)
			}
			lines, err := checkWorkloads(t.Context(), fake.NewClientBuilder().WithScheme(scheme).WithObjects(test.stores...).Build(), now)
			if diff := cmp.Diff(test.lines, lines); diff != "" {
				t.Errorf("%s (-want +got):\n%s", test.reason, diff)
			}
			if (err != nil) != (test.says != "") || err != nil && !strings.Contains(err.Error(), test.says) {
				t.Errorf("%s: error %v, want %q", test.reason, err, test.says)
			}
		})
	}
}

// A source that could not be read fails the check only after the lines of all sources were written.
func TestCheckFailsByWorkloads(t *testing.T) {
	t.Parallel()
	s := &v1alpha1.ArtifactStore{ObjectMeta: metav1.ObjectMeta{Namespace: "p", Name: "acme"}}
	s.Spec.Workloads = &v1alpha1.WorkloadsSpec{Sources: []v1alpha1.WorkloadSource{v1alpha1.WorkloadPods}}
	s.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ConditionReady}}
	s.Status.Workloads = &v1alpha1.WorkloadsStatus{ObservedAt: metav1.Now(), Sources: []v1alpha1.WorkloadSourceStatus{{Name: v1alpha1.WorkloadPods, State: v1alpha1.WorkloadsDenied, Message: "grant it"}}}
	c := sound()
	c.stores = []client.Object{s}
	var out strings.Builder
	err := runCheck(t.Context(), c.client(t), checkFlags{namespace: "operators"}, &out)
	if err == nil || !strings.Contains(out.String(), "ok: the webhooks answer\nfailed: artifactstores/p/acme: Pods denied ") {
		t.Errorf("error %v; it says\n%s", err, out.String())
	}
}

package running

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/workload"
)

var now = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func store(sources ...v1alpha1.WorkloadSource) *v1alpha1.ArtifactStore {
	s := &v1alpha1.ArtifactStore{ObjectMeta: metav1.ObjectMeta{Namespace: "p", Name: "acme"}}
	s.Spec.Workloads = &v1alpha1.WorkloadsSpec{Sources: sources}
	return s
}

// No Secret is read, even for a user who may read Secrets.
func TestNoSecretIsRead(t *testing.T) {
	t.Parallel()
	var asked []v1alpha1.WorkloadSource
	read := Reader(func(_ context.Context, s *v1alpha1.ArtifactStore) (*workload.Reading, error) {
		asked = s.Spec.Workloads.Sources
		return workload.NewReading(now, nil), nil
	})
	s := store(v1alpha1.WorkloadPods, v1alpha1.WorkloadHelmReleases, v1alpha1.WorkloadFlux)
	r, err := read.Of(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]v1alpha1.WorkloadSource{v1alpha1.WorkloadPods, v1alpha1.WorkloadFlux}, asked); diff != "" {
		t.Errorf("what is read (-want +got):\n%s", diff)
	}
	if !strings.Contains(r.Missing, "HelmReleases") || len(s.Spec.Workloads.Sources) != 3 {
		t.Errorf("%q is missing, and the store has %v", r.Missing, s.Spec.Workloads.Sources)
	}
}

func TestWhatIsMissingIsSaid(t *testing.T) {
	t.Parallel()
	seen := func(state v1alpha1.WorkloadSourceState) *v1alpha1.WorkloadsStatus {
		return &v1alpha1.WorkloadsStatus{ObservedAt: metav1.NewTime(now), Sources: []v1alpha1.WorkloadSourceStatus{{Name: v1alpha1.WorkloadPods, State: state, Message: "m"}}}
	}
	tests := map[string]struct {
		reason         string
		read           v1alpha1.WorkloadSourceState
		status         *v1alpha1.WorkloadsStatus
		missing, doubt string
	}{
		"all is read":      {reason: "nothing is missing", read: v1alpha1.WorkloadsRead, status: seen(v1alpha1.WorkloadsRead)},
		"not installed":    {reason: "it holds nothing", read: v1alpha1.WorkloadsNotInstalled, status: seen(v1alpha1.WorkloadsNotInstalled)},
		"denied":           {reason: "the user may not, the manager may", read: v1alpha1.WorkloadsDenied, status: seen(v1alpha1.WorkloadsRead), missing: "(Pods: you may not: m); what nfo saw at 2026-05-01T12:00:00Z is used as well"},
		"failed":           {reason: "rights do not matter", read: v1alpha1.WorkloadsFailed, status: seen(v1alpha1.WorkloadsRead), missing: "(Pods: m);"},
		"never":            {reason: "the manager has not looked", read: v1alpha1.WorkloadsDenied, missing: "nfo has not read it either yet"},
		"denied to both":   {reason: "nobody knows", read: v1alpha1.WorkloadsDenied, status: seen(v1alpha1.WorkloadsDenied), missing: "nfo could not read it either at", doubt: "(Pods: m)"},
		"denied to it":     {reason: "it lets nothing go", read: v1alpha1.WorkloadsRead, status: seen(v1alpha1.WorkloadsDenied), doubt: "nfo could not read what runs of artifactstores/p/acme at 2026-05-01T12:00:00Z"},
		"a first reading":  {reason: "the user reads before the manager", read: v1alpha1.WorkloadsRead},
		"it failed for it": {reason: "it lets nothing go", read: v1alpha1.WorkloadsRead, status: seen(v1alpha1.WorkloadsFailed), doubt: "lets nothing of it go until it can"},
	}
	for title, test := range tests {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			s := store(v1alpha1.WorkloadPods)
			s.Status.Workloads = test.status
			read := Reader(func(context.Context, *v1alpha1.ArtifactStore) (*workload.Reading, error) {
				r := workload.NewReading(now, nil)
				r.Sources = []v1alpha1.WorkloadSourceStatus{{Name: v1alpha1.WorkloadPods, State: test.read, Message: "m"}}
				return r, nil
			})
			r, err := read.Of(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(r.Missing, test.missing) || (r.Missing == "") != (test.missing == "") {
				t.Errorf("%s: missing is %q, want %q", test.reason, r.Missing, test.missing)
			}
			if !strings.Contains(r.Doubt, test.doubt) || (r.Doubt == "") != (test.doubt == "") {
				t.Errorf("%s: the doubt is %q, want %q", test.reason, r.Doubt, test.doubt)
			}
		})
	}
}

// For a store that selects no workloads, nothing is read, and workloads in the status of its manifests count no more.
func TestNobodyCounts(t *testing.T) {
	t.Parallel()
	read := Reader(func(context.Context, *v1alpha1.ArtifactStore) (*workload.Reading, error) {
		return nil, errors.New("it is read")
	})
	s := store()
	s.Spec.Workloads = nil
	r, err := read.Of(t.Context(), s)
	if err != nil || r.Selected || r.Missing != "" {
		t.Errorf("%+v, %v", r, err)
	}
	m := &v1alpha1.ArtifactManifest{}
	m.Status.Dependents.Dependents = []v1alpha1.Dependent{{Kind: "Pod", Namespace: "ran", Name: "x", Artifacts: []string{"upf:1"}}}
	if all := r.Recorded(m, nil); all != nil {
		t.Errorf("it has %v", all)
	}
}

// A workload that was read now is not also counted as recorded.
func TestRecorded(t *testing.T) {
	t.Parallel()
	m := &v1alpha1.ArtifactManifest{}
	m.Status.Dependents.Dependents = []v1alpha1.Dependent{
		{Kind: "Pod", Namespace: "ran", Name: "a", Artifacts: []string{"upf:1"}}, {Kind: "Pod", Namespace: "ran", Name: "b", Artifacts: []string{"upf:1"}},
		{Kind: v1alpha1.KindDefinition, Namespace: "p", Name: "d", Artifacts: []string{"upf:1"}},
	}
	now := []reference.Holder{{Object: reference.Object{Kind: "Pod", Namespace: "ran", Name: "a"}}}
	all := Running{Selected: true, Missing: "something"}.Recorded(m, now)
	if len(all) != 1 || all[0].String() != "pods/ran/b" {
		t.Errorf("it has %v", all)
	}
	if all := (Running{Selected: true}).Recorded(m, nil); all != nil {
		t.Errorf("if all was read, it has %v", all)
	}
}

func TestBecause(t *testing.T) {
	t.Parallel()
	for part, want := range map[string]string{"container web": "container web runs it", "init container web, revision 2": "init container web, revision 2 runs it", "volume data": "volume data uses it", "": "uses it"} {
		if got := Because(part); got != want {
			t.Errorf("%q: %q, want %q", part, got, want)
		}
	}
}

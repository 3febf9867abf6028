package why

import (
	"bytes"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/plugin/plugintest"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/workload"
	"github.com/nfo-operator/nfo/internal/workload/workloadtest"
)

// asks returns the answer about an object, KIND/NAME, or an image, in a cluster with these objects and workloads.
func asks(t *testing.T, what string, runs workloadtest.Server, objects ...client.Object) string {
	t.Helper()
	scheme, err := reference.NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	e, err := gather(t.Context(), fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build(), "p")
	if err != nil {
		t.Fatal(err)
	}
	e.now = now
	kube, through := runs.Start(t)
	reader, err := workload.NewReader(kube, through, nil, clock.RealClock{}, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	a := &answer{}
	if kind, name, _ := strings.Cut(what, "/"); strings.Contains(what, ":") || strings.Contains(what, "@") {
		i, err := parseImage(what)
		if err != nil {
			t.Fatal(err)
		}
		s := i.in(e.stores)
		if s == nil {
			i, s = i.alias(e.stores)
		}
		if err := e.readWorkloads(t.Context(), reader.Read, s); err != nil {
			t.Fatal(err)
		}
		a = e.aboutImage(i, s)
	} else {
		o := reference.Object{Kind: kind, Namespace: "p", Name: name}
		if err := e.readWorkloads(t.Context(), reader.Read, e.concerned(o)...); err != nil {
			t.Fatal(err)
		}
		a, _ = e.aboutObject(o)
	}
	var b bytes.Buffer
	if err := a.write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// selecting is a store that counts workloads, which the manager read without errors an hour ago.
func selecting(edit ...func(*v1alpha1.ArtifactStore)) *v1alpha1.ArtifactStore {
	s := store(func(s *v1alpha1.ArtifactStore) {
		s.Spec.Workloads = &v1alpha1.WorkloadsSpec{Sources: []v1alpha1.WorkloadSource{v1alpha1.WorkloadPods, v1alpha1.WorkloadControllers}}
		s.Status.Workloads = &v1alpha1.WorkloadsStatus{ObservedAt: metav1.NewTime(now.Add(-time.Hour)), Sources: []v1alpha1.WorkloadSourceStatus{{Name: v1alpha1.WorkloadPods, State: v1alpha1.WorkloadsRead}}}
	})
	for _, f := range edit {
		f(&s)
	}
	return &s
}

func sources(all ...v1alpha1.WorkloadSource) func(*v1alpha1.ArtifactStore) {
	return func(s *v1alpha1.ArtifactStore) { s.Spec.Workloads.Sources = all }
}

// used records in a manifest's status that the manager saw a Deployment use it.
func used(m *v1alpha1.ArtifactManifest) {
	m.Status.Dependents.Dependents = []v1alpha1.Dependent{{Kind: "Deployment", Namespace: "ran", Name: "seen", Artifacts: []string{"upf:1"}}}
}

func ended(edit ...func(*v1alpha1.Tombstone)) *v1alpha1.Tombstone {
	t := tombstone("m-1", "m", v1alpha1.TombstoneKept, append([]func(*v1alpha1.Tombstone){func(t *v1alpha1.Tombstone) { t.Annotations = map[string]string{v1alpha1.AnnotationExpireNow: ""} }}, edit...)...)
	return &t
}

func TestI14WhatRunsKeeps(t *testing.T) {
	t.Parallel()
	const am, upf = "ArtifactManifest/m", "r.example.com/acme/m/upf"
	web := func(image string) workloadtest.Server {
		return workloadtest.Server{Objects: map[string][]string{"/apis/apps/v1/deployments": {workloadtest.Deployment("web", image)}}}
	}
	denied := workloadtest.Server{Denied: []string{"pods"}}
	tests := map[string]struct {
		reason  string
		ask     string
		runs    workloadtest.Server
		objects []client.Object
		says    []string
		not     []string
	}{
		"manifest": {reason: "a Deployment runs what it lists", ask: am, runs: web(upf + ":1"), objects: []client.Object{selecting(), plugintest.Manifest("m")},
			says: []string{"└── deployments/ran/web (artifact upf:1, container web runs it)\n", "Deleting it is refused, because it is in use. It is needed by: deployments/ran/web."}, not: []string{"Incomplete"}},
		"manifest by digest": {reason: "the tag is of that digest", ask: am, runs: web(upf + "@" + plugintest.One), objects: []client.Object{selecting(), plugintest.Manifest("m")},
			says: []string{"deployments/ran/web (artifact upf:1, container web runs it)"}},
		"both kinds": {reason: "a definition holds it too", ask: am, runs: web(upf + ":1"), objects: []client.Object{selecting(), plugintest.Manifest("m"), plugintest.Definition("d", "m")},
			says: []string{"├── networkfunctiondefinitionversions/p/d", "└── deployments/ran/web", "needed by: deployments/ran/web, networkfunctiondefinitionversions/p/d"}},
		"store": {reason: "workloads keep it through its manifests", ask: "ArtifactStore/acme", runs: web(upf + ":1"), objects: []client.Object{selecting(), plugintest.Manifest("m")},
			says: []string{"└── artifactmanifests/p/m\n    └── deployments/ran/web"}},
		"store of no manifest": {reason: "its deletion does not depend on workloads", ask: "ArtifactStore/acme", runs: denied, objects: []client.Object{selecting()},
			says: []string{"deleting is allowed"}, not: []string{"Incomplete"}},
		"other image": {reason: "nothing uses it", ask: am, runs: web(upf + ":2"), objects: []client.Object{selecting(), plugintest.Manifest("m", used)},
			says: []string{"deleting is allowed"}, not: []string{"deployments", "Incomplete"}},
		"nobody counts": {reason: "the store selects no workloads", ask: am, runs: web(upf + ":1"), objects: []client.Object{new(store()), plugintest.Manifest("m")},
			says: []string{"deleting is allowed"}, not: []string{"deployments", "Incomplete"}},

		"denied": {reason: "a pod may use it", ask: am, runs: denied, objects: []client.Object{selecting(), plugintest.Manifest("m")},
			says: []string{"Nothing that could be read keeps it. But it may be in use", "Incomplete: what runs of artifactstores/p/acme could not be read in full (Pods: you may not: listing pods: pods is forbidden", "what nfo saw at 2026-05-01T11:00:00Z is used as well"},
			not:  []string{"allowed", "administrator"}},
		"denied, and seen": {reason: "the manager saw who uses it", ask: am, runs: denied, objects: []client.Object{selecting(), plugintest.Manifest("m", used)},
			says: []string{"└── deployments/ran/seen (artifact upf:1, as nfo saw it at 2026-05-01T11:00:00Z)", "Deleting it is refused", "Incomplete"}},
		"denied, and never seen": {reason: "the manager has not looked yet", ask: am, runs: denied, objects: []client.Object{selecting(func(s *v1alpha1.ArtifactStore) { s.Status.Workloads = nil }), plugintest.Manifest("m")},
			says: []string{"may be in use", "nfo has not read it either yet"}, not: []string{"allowed"}},
		"the manager may not": {reason: "it refuses what it cannot read, whatever others can", ask: am, objects: []client.Object{selecting(func(s *v1alpha1.ArtifactStore) {
			s.Status.Workloads.Sources[0].State, s.Status.Workloads.Sources[0].Message = v1alpha1.WorkloadsDenied, "no right"
		}), plugintest.Manifest("m")},
			says: []string{"may be in use", "Incomplete: nfo could not read what runs of artifactstores/p/acme at 2026-05-01T11:00:00Z", "Pods: no right"}, not: []string{"allowed"}},
		"Helm": {reason: "its records are in Secrets", ask: am, objects: []client.Object{selecting(sources(v1alpha1.WorkloadHelmReleases)), plugintest.Manifest("m")},
			says: []string{"may be in use", "HelmReleases: they are in Secrets, which this command does not read"}, not: []string{"allowed"}},

		"image": {reason: "no manifest lists it", ask: "r.example.com/acme/other:1", runs: web("r.example.com/acme/other:1"), objects: []client.Object{selecting()},
			says: []string{"└── deployments/ran/web (container web runs it)\n", "No manifest lists it. As long as workloads use it, no purge deletes it: it is used by deployments/ran/web."}},
		"image once": {reason: "its manifest has shown who uses it", ask: upf + ":1", runs: web(upf + ":1"), objects: []client.Object{selecting(), plugintest.Manifest("m")},
			says: []string{"└── artifactmanifests/p/m (lists upf:1, Present " + plugintest.One + ")\n    └── deployments/ran/web (artifact upf:1, container web runs it)\n\nAs long as"}},
		"image by another name": {reason: "nodes pull it from a mirror", ask: "mirror.example:5000/x/other:1", runs: web("mirror.example:5000/x/other:1"), objects: []client.Object{selecting(func(s *v1alpha1.ArtifactStore) { s.Spec.Workloads.RegistryAliases = []string{"mirror.example:5000/x"} })},
			says: []string{"mirror.example:5000/x/other:1\n└── deployments/ran/web"}},
		"image, denied": {reason: "a pod may use it", ask: "r.example.com/acme/other:1", runs: denied, objects: []client.Object{selecting()},
			says: []string{"But it may be in use", "Incomplete"}},

		"released": {reason: "a Deployment names the digest", ask: "Tombstone/m-1", runs: web(upf + "@" + plugintest.Two), objects: []client.Object{selecting(), ended()},
			says: []string{"deployments/ran/web uses it (container web), which keeps it from a purge"}, not: []string{"the next purge deletes it"}},
		"released by its tag": {reason: "it would be pulled once it is restored", ask: am, runs: web(upf + ":1"), objects: []client.Object{selecting(), ended()},
			says: []string{"deployments/ran/web uses it (container web), which keeps it from a purge"}},
		"released, and moved on": {reason: "the tag leads elsewhere since", ask: am, runs: web(upf + ":1"), objects: []client.Object{selecting(), ended(func(t *v1alpha1.Tombstone) { t.Spec.Cause = v1alpha1.CauseOverwritten })},
			says: []string{"the next purge deletes it"}, not: []string{"deployments"}},
		"released, denied": {reason: "a pod may use it", ask: am, runs: denied, objects: []client.Object{selecting(), ended()},
			says: []string{"but it may be in use", "Incomplete"}, not: []string{"the next purge deletes it"}},
		"released, denied, and seen": {reason: "the last purge saw who uses it", ask: am, runs: denied, objects: []client.Object{selecting(), ended(func(t *v1alpha1.Tombstone) {
			e := t.Entry("acme/m/upf", "1")
			e.Reason = "InUse: deployments/ran/web uses it (container web)"
			t.SetEntry(e)
		})},
			says: []string{"deployments/ran/web uses it (container web), as the last purge saw, which keeps it from a purge"}, not: []string{"the next purge deletes it"}},
	}
	for title, test := range tests {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			said := asks(t, test.ask, test.runs, test.objects...)
			for _, text := range test.says {
				if !strings.Contains(said, text) {
					t.Errorf("%s: %q is not in\n%s", test.reason, text, said)
				}
			}
			for _, text := range test.not {
				if strings.Contains(said, text) {
					t.Errorf("%s: %q is in\n%s", test.reason, text, said)
				}
			}
		})
	}
}

// A workload that needs an artifact while it is being deleted blocks the deletion of the artifact.
func TestWhatStandsWhileItIsDeletedRefuses(t *testing.T) {
	t.Parallel()
	for kind, want := range map[string]bool{"Deployment": true, "HelmRelease.helm.toolkit.fluxcd.io": false} {
		e := seen(nil, nil)
		l := e.workload(reference.Holder{Object: reference.Object{Kind: kind, Namespace: "ran", Name: "x"}, Terminating: true}, "")
		if got := terminating([]*link{l}); got != want {
			t.Errorf("a %s that is being deleted is waited for: %t, want %t", kind, got, want)
		}
	}
}

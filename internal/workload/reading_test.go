package workload

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
)

func readingOf(uses ...Use) *Reading {
	all := map[Use]bool{}
	for _, u := range uses {
		all[u] = true
	}
	return NewReading(time.Time{}, all)
}

func TestChanged(t *testing.T) {
	t.Parallel()
	a, b := Use{Repository: "acme/a", Tag: "1"}, Use{Repository: "acme/b", Tag: "1"}
	anywhere := Use{Chart: "upf", Tag: "1"}
	tests := map[string]struct {
		reason      string
		before, now *Reading
		want        map[string]bool
	}{
		"nothing":  {reason: "neither says anything", want: map[string]bool{}},
		"first":    {reason: "all of the first reading is new", now: readingOf(a), want: map[string]bool{"acme/a": true}},
		"last":     {reason: "the store selects nothing any more", before: readingOf(a), want: map[string]bool{"acme/a": true}},
		"same":     {reason: "the order does not matter", before: readingOf(a, b), now: readingOf(b, a), want: map[string]bool{}},
		"other":    {reason: "one went and one came", before: readingOf(a), now: readingOf(b), want: map[string]bool{"acme/a": true, "acme/b": true}},
		"by part":  {reason: "another container is another use", before: readingOf(a), now: readingOf(Use{Repository: "acme/a", Tag: "1", Part: "container web"}), want: map[string]bool{"acme/a": true}},
		"anywhere": {reason: "a chart may be in any repository", before: readingOf(a), now: readingOf(a, anywhere), want: map[string]bool{"": true}},
	}
	for title, test := range tests {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, test.now.Changed(test.before)); diff != "" {
				t.Errorf("%s: %s", test.reason, diff)
			}
		})
	}
}

func TestI14HoldersOfAManifest(t *testing.T) {
	t.Parallel()
	web, db := reference.Object{Kind: "Deployment", Namespace: "ran", Name: "web"}, reference.Object{Kind: "StatefulSet", Namespace: "ran", Name: "db"}
	m := &v1alpha1.ArtifactManifest{}
	m.Namespace, m.Name = "publisher", "cnf"
	entries := []v1alpha1.ArtifactStatus{
		{ArtifactName: "nginx", ArtifactVersion: "1", Repository: "acme/cnf/nginx", Digest: digestA},
		{ArtifactName: "db", ArtifactVersion: "2", Repository: "acme/cnf/db", Digest: "sha256:b", MovedTo: "sha256:c"},
		{ArtifactName: "nginx", ArtifactVersion: "1", Repository: "acme/cnf/nginx", Digest: "sha256:moved"}, // the same entry, with the digest that was found
	}
	r := readingOf(
		Use{Holder: web, Part: "container web", Repository: "acme/cnf/nginx", Tag: "1"},
		Use{Holder: web, Part: "container web", Repository: "acme/cnf/nginx", Digest: digestA},
		Use{Holder: db, Terminating: true, Part: "container db", Repository: "acme/cnf/db", Digest: "sha256:c"},
		Use{Holder: db, Part: "container db", Repository: "acme/cnf/db", Tag: "3"},
		Use{Holder: db, Part: "container db", Repository: "acme/other/db", Tag: "2"},
	)
	to := reference.Self(m)
	want := []reference.Holder{
		{Object: web, References: []reference.Reference{{To: to, Artifact: "nginx", Version: "1", Part: "container web"}}},
		{Object: db, Terminating: true, References: []reference.Reference{{To: to, Artifact: "db", Version: "2", Part: "container db"}}},
	}
	if diff := cmp.Diff(want, r.Holders(m, entries)); diff != "" {
		t.Error(diff)
	}
	says := `The resource 'artifactmanifests/publisher/cnf' has some resources attached to it. The dependent resources are: "deployments/ran/web" (artifact nginx:1, container web), "statefulsets/ran/db" (artifact db:2, container db, itself being deleted)`
	if got := reference.Refusal(to, want); got != says {
		t.Error(got)
	}
}

// A holder that is being deleted releases what it holds without help, unless its deletion pulls images.
func TestStandingHolders(t *testing.T) {
	t.Parallel()
	for kind, want := range map[string]bool{"Deployment": false, "HelmRelease": true, "HelmRelease.helm.toolkit.fluxcd.io": true, "Application.argoproj.io": true, v1alpha1.KindDefinition: false} {
		if got := (reference.Holder{Object: reference.Object{Kind: kind}, Terminating: true}).Stands(); got != want {
			t.Errorf("a %s that is being deleted stands: %v", kind, got)
		}
	}
}

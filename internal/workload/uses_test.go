package workload

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
)

// by returns a use by a Deployment.
func by(holder, repository, tag string) Use {
	return Use{Holder: reference.Object{Kind: "Deployment", Namespace: "ran", Name: holder}, Part: "container web", Repository: repository, Tag: tag}
}

func TestUsesComeInOrder(t *testing.T) {
	t.Parallel()
	anywhere := by("c", "", "1")
	anywhere.Chart = "upf"
	found := map[Use]bool{by("b", "acme/b", "1"): true, by("a", "acme/b", "2"): true, by("z", "acme/a", "1"): true, anywhere: true}
	r := NewReading(now, found)
	want := []Use{anywhere, by("z", "acme/a", "1"), by("a", "acme/b", "2"), by("b", "acme/b", "1")}
	if diff := cmp.Diff(want, slices.Collect(r.Uses())); diff != "" {
		t.Errorf("by repository, then by holder (-want +got):\n%s", diff)
	}
	for u := range r.Uses() {
		if u != anywhere {
			t.Errorf("the first one is %+v", u)
		}
		break // the iteration must stop here
	}
	if none := slices.Collect((*Reading)(nil).Uses()); none != nil {
		t.Errorf("a reading that was never made has %+v", none)
	}
}

func TestI14WhatKeepsAReleasedEntry(t *testing.T) {
	t.Parallel()
	entry := v1alpha1.TombstoneArtifact{Repository: "acme/m/upf", Tag: "1", Digests: []string{digestA}}
	chart := v1alpha1.TombstoneArtifact{Repository: "acme/m/chart", Tag: "1"}
	of := &v1alpha1.Tombstone{Spec: v1alpha1.TombstoneSpec{Manifest: v1alpha1.TombstoneManifest{Name: "m"}, Artifacts: []v1alpha1.TombstoneArtifact{entry, chart}}}
	digest, whole := by("a", "acme/m/upf", ""), by("a", "acme/m/chart", "1")
	digest.Digest, whole.Whole = digestA, true
	tests := map[string]struct {
		reason  string
		use     Use
		movedOn bool
		want    string
	}{
		"tag":         {reason: "it would be pulled once it is restored", use: by("a", "acme/m/upf", "1"), want: "deployments/ran/a uses it (container web)"},
		"digest":      {reason: "it can be pulled until it is purged", use: digest, want: "deployments/ran/a uses it (container web)"},
		"moved tag":   {reason: "the tag leads to another digest", use: by("a", "acme/m/upf", "1"), movedOn: true},
		"old digest":  {reason: "the tag does not matter where a digest is named", use: digest, movedOn: true, want: "deployments/ran/a uses it (container web)"},
		"its chart":   {reason: "what was released with a chart in use stays with it", use: whole, want: "deployments/ran/a uses it (container web), and with it all of m"},
		"other tag":   {reason: "it is another image", use: by("a", "acme/m/upf", "2")},
		"other image": {reason: "an image takes nothing else of its manifest along", use: by("a", "acme/m/chart", "1")},
	}
	for title, test := range tests {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			if got := NewReading(now, map[Use]bool{test.use: true}).Keeps(of, entry, test.movedOn); got != test.want {
				t.Errorf("%s: %q, want %q", test.reason, got, test.want)
			}
		})
	}
}

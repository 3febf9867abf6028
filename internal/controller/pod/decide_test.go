package pod

import (
	"maps"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/rewrite"
)

const (
	own      = "r.example/upf:1"
	atMirror = "127.0.0.1:7439/r.example/upf:1"
)

var now = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

func rules(policy v1alpha1.RewritePolicy) rewrite.Rules {
	s := &v1alpha1.ArtifactStore{ObjectMeta: metav1.ObjectMeta{Namespace: v1alpha1.ManagerNamespace, Name: v1alpha1.MirrorName}}
	s.Spec.Mirror = &v1alpha1.MirrorSpec{Images: v1alpha1.MirrorAll, PullAddress: "127.0.0.1:7439", Rewrite: policy}
	return rewrite.NewRules(s, nil)
}

// aStuck returns a pod whose container upf cannot pull its image, while its container other runs.
func aStuck(image string, annotations map[string]string) stuck {
	s := stuck{namespace: "core", name: "upf", uid: "u1", version: "7"}
	s.pod.Metadata.Annotations = annotations
	s.pod.Spec.Containers = []rewrite.Container{{Name: "upf", Image: image}, {Name: "other", Image: image}}
	s.failing = []rewrite.Place{{List: rewrite.Containers, Name: "upf"}}
	return s
}

func TestDecide(t *testing.T) {
	t.Parallel()
	repaired := func(text string) map[string]string { return map[string]string{v1alpha1.AnnotationImageRepairs: text} }
	const present, absent = v1alpha1.MirrorPresent, v1alpha1.MirrorState("")
	for _, tt := range []struct {
		reason      string
		image       string
		annotations map[string]string
		rules       rewrite.Rules
		unselected  bool
		unreachable bool
		state       v1alpha1.MirrorState
		failing     time.Duration
		to          string // the image, "" for no change
		repairs     string
		wanted      int
	}{
		{reason: "missed by the webhook, and the mirror has it", image: own, rules: rules(""), state: present, to: atMirror, repairs: "1 2026-01-31T12:00:00Z"},
		{reason: "missed, and no agent is ready to give it", image: own, rules: rules(""), unreachable: true, state: present},
		{reason: "missed, and the mirror has not got it", image: own, rules: rules(""), state: v1alpha1.MirrorCopying},
		{reason: "missed, and nobody has asked for it", image: own, rules: rules(""), state: absent, wanted: 1},
		{reason: "missed, with Always: a copy is waited for where the pod is", image: own, rules: rules(v1alpha1.RewriteAlways), state: v1alpha1.MirrorCopying},
		{reason: "of a namespace that is not mirrored", image: own, rules: rules(""), unselected: true, state: present},
		{reason: "where pods are not rewritten", image: own, rules: rules(v1alpha1.RewriteNever), state: present},
		{reason: "the mirror has it, and the node has only just failed", image: atMirror, rules: rules(""), state: present, failing: 59 * time.Second},
		{reason: "the mirror has it, and the node cannot get it", image: atMirror, rules: rules(""), state: present, failing: time.Minute, to: own, repairs: "1 2026-01-31T12:00:00Z"},
		{reason: "the mirror could not copy it", image: atMirror, rules: rules(""), state: v1alpha1.MirrorFailed, to: own, repairs: "1 2026-01-31T12:00:00Z"},
		{reason: "the mirror has lost it", image: atMirror, rules: rules(""), state: absent, to: own, repairs: "1 2026-01-31T12:00:00Z", wanted: 1},
		{reason: "with Always it waits for the copy", image: atMirror, rules: rules(v1alpha1.RewriteAlways), state: v1alpha1.MirrorCopying, failing: time.Hour},
		{reason: "with Always it waits for who asks for the copy", image: atMirror, rules: rules(v1alpha1.RewriteAlways), state: absent, failing: time.Hour, wanted: 1},
		{reason: "with Always it waits until the mirror answers again", image: atMirror, rules: rules(v1alpha1.RewriteAlways), state: present, failing: time.Hour},
		{reason: "with Always it does not wait for what cannot be copied", image: atMirror, rules: rules(v1alpha1.RewriteAlways), state: v1alpha1.MirrorFailed, to: own, repairs: "1 2026-01-31T12:00:00Z"},
		{reason: "the mirror has gone, by the annotation", image: atMirror, annotations: map[string]string{v1alpha1.AnnotationOriginalImages: `{"containers/upf":"r.example/upf:1"}`}, to: own, repairs: "1 2026-01-31T12:00:00Z"},
		{reason: "the mirror has gone, and the pod is nobody's", image: atMirror},
		{reason: "it was changed just before", image: atMirror, annotations: repaired("1 2026-01-31T11:55:01Z"), rules: rules(""), state: v1alpha1.MirrorFailed},
		{reason: "it was changed a while before", image: atMirror, annotations: repaired("1 2026-01-31T11:55:00Z"), rules: rules(""), state: v1alpha1.MirrorFailed, to: own, repairs: "2 2026-01-31T12:00:00Z"},
		{reason: "the last change is to its own image", image: atMirror, annotations: repaired("2 2026-01-31T11:00:00Z"), rules: rules(""), state: v1alpha1.MirrorFailed, to: own, repairs: "3 2026-01-31T12:00:00Z"},
		{reason: "and not to the mirror's", image: own, annotations: repaired("2 2026-01-31T11:00:00Z"), rules: rules(""), state: present},
		{reason: "it was changed often", image: atMirror, annotations: repaired("3 2026-01-31T11:00:00Z"), rules: rules(""), state: v1alpha1.MirrorFailed},
		{reason: "somebody wrote the count", image: atMirror, annotations: repaired("many"), rules: rules(""), state: v1alpha1.MirrorFailed, to: own, repairs: "1 2026-01-31T12:00:00Z"},
		{reason: "a static pod", image: own, annotations: map[string]string{rewrite.StaticPod: "x"}, rules: rules(""), state: present},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			t.Parallel()
			d := decide(aStuck(tt.image, tt.annotations), facts{
				rules: tt.rules, selected: !tt.unselected && tt.rules.Mirrors(rewrite.Image{Host: "r.example"}), unreachable: tt.unreachable, now: now, failing: tt.failing,
				state: func(rewrite.Image) v1alpha1.MirrorState { return tt.state },
			})
			got := ""
			if len(d.changes) > 0 {
				got = d.changes[0].To
			}
			if got != tt.to || d.repairs != tt.repairs || len(d.wanted) != tt.wanted {
				t.Errorf("%s, %q, %v", got, d.repairs, d.wanted)
			}
			if len(d.changes) > 1 || (len(d.changes) == 1 && (d.pod.Spec.Containers[1].Image != tt.image || !strings.Contains(d.why, d.changes[0].From))) {
				t.Errorf("a container that runs is changed, or the event says %q: %v", d.why, d.changes)
			}
		})
	}
}

// A container that waits for a failing init container must be changed with
// it, because it would fail next, and a pod is changed only once in a while.
func TestR5WhatHasNotStartedIsRepairedToo(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		reason, from, to string
		failing          time.Duration
	}{
		{"to its own images", atMirror, own, time.Hour},
		{"to those of the mirror", own, atMirror, 0},
	} {
		s := aStuck(tt.from, nil)
		s.pod.Spec.Init = []rewrite.Container{{Name: "init", Image: tt.from}}
		s.failing, s.unstarted = []rewrite.Place{{List: rewrite.Init, Name: "init"}}, s.failing
		d := decide(s, facts{
			rules: rules(""), selected: true, now: now, failing: tt.failing,
			state: func(rewrite.Image) v1alpha1.MirrorState { return v1alpha1.MirrorPresent },
		})
		got := map[string]string{}
		for _, c := range d.changes {
			got[c.String()] = c.To
		}
		if want := map[string]string{"initContainers/init": tt.to, "containers/upf": tt.to}; !maps.Equal(got, want) {
			t.Errorf("%s: changed %v, want %v", tt.reason, got, want)
		}
	}
}

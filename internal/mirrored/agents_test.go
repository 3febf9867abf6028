package mirrored

import (
	"cmp"
	"context"
	"errors"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/rewrite"
)

func agentsOf(namespace, name string, ready int32) *appsv1.DaemonSet {
	d := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	d.Status.DesiredNumberScheduled, d.Status.NumberReady = 3, ready
	return d
}

// reading returns Facts with Agents that read the same objects.
func reading(t *testing.T, objects ...client.Object) (*Facts, client.WithWatch) {
	t.Helper()
	f := factsOf(t, objects...)
	api, ok := f.Cached.(client.WithWatch)
	if !ok {
		t.Fatalf("the facts read %T", f.Cached)
	}
	f.Agents = &Agents{Live: api, Namespace: f.Namespace, Rules: f.Rules}
	return f, api
}

func TestR5WithoutAnAgentNothingIsPulledFromTheMirror(t *testing.T) {
	t.Parallel()
	i := rewrite.Image{Host: "r.example", Repository: "upf", Tag: "1"}
	has := &v1alpha1.Artifact{ObjectMeta: metav1.ObjectMeta{Namespace: "core", Name: v1alpha1.ArtifactName(i.String())}}
	has.Spec.SourceArtifact, has.Status.State = i.String(), v1alpha1.MirrorPresent
	for _, tt := range []struct {
		reason string
		agents *appsv1.DaemonSet
		policy v1alpha1.RewritePolicy
		at     string
		want   bool
	}{
		{"an agent is ready", agentsOf("operators", v1alpha1.AgentName, 1), "", "", true},
		{"none is", agentsOf("operators", v1alpha1.AgentName, 0), "", "", false},
		{"somebody has deleted them", agentsOf("operators", "other", 0), "", "", false},
		{"nodes need no agent", agentsOf("operators", "other", 0), "", "127.0.0.1:30500/mirror.nfo.dev", true},
		{"the agents of somebody else are ready", agentsOf("others", v1alpha1.AgentName, 3), "", "", false},
		{"pods are to wait for the mirror in any case", agentsOf("operators", v1alpha1.AgentName, 0), v1alpha1.RewriteAlways, "", true},
	} {
		mirror := aMirror("operators", v1alpha1.MirrorName, func(m *v1alpha1.MirrorSpec) { m.Rewrite, m.PullAddress = tt.policy, cmp.Or(tt.at, m.PullAddress) })
		f, _ := reading(t, mirror, has.DeepCopy(), tt.agents)
		if !f.Agents.None() {
			t.Errorf("%s: it is known before it was read", tt.reason)
		}
		if err := f.Agents.read(t.Context()); err != nil {
			t.Errorf("%s: %v", tt.reason, err)
		}
		if got := f.Present(t.Context(), "core", i); got != tt.want {
			t.Errorf("%s: it can be pulled: %t", tt.reason, got)
		}
	}
}

// An error leaves the last result unchanged, and without permission to read the DaemonSet the agents count as ready.
func TestAgentsThatCannotBeRead(t *testing.T) {
	t.Parallel()
	daemonSets := schema.GroupResource{Group: "apps", Resource: "daemonsets"}
	for _, tt := range []struct {
		reason     string
		err        error
		none, says bool
	}{
		{"the API server does not answer", apierrors.NewServiceUnavailable("no"), true, true},
		{"no right to", apierrors.NewForbidden(daemonSets, v1alpha1.AgentName, errors.New("no")), false, false},
	} {
		f, api := reading(t, aMirror("operators", v1alpha1.MirrorName), agentsOf("operators", v1alpha1.AgentName, 0))
		if err := f.Agents.read(t.Context()); err != nil || !f.Agents.None() {
			t.Fatalf("%s: before: %t, %v", tt.reason, f.Agents.None(), err)
		}
		f.Agents.Live = interceptor.NewClient(api, interceptor.Funcs{Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
			return tt.err
		}})
		if err := f.Agents.read(t.Context()); (err != nil) != tt.says || f.Agents.None() != tt.none {
			t.Errorf("%s: none is %t, %v", tt.reason, f.Agents.None(), err)
		}
	}
}

package publish

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/plugin/plugintest"
	"github.com/nfo-operator/nfo/internal/rewrite"
)

// If renewing an Artifact is interrupted or fails, the Artifact must not be lost, nor the annotation that keeps its copy.
func TestAnArtifactIsNotLostWhenItIsMadeAnew(t *testing.T) {
	t.Parallel()
	down := apierrors.NewServiceUnavailable("one moment")
	for name, tc := range map[string]struct {
		reason string
		api    failing
		anew   bool
		says   string
	}{
		"Interrupted": {"Ctrl-C comes when it is deleted", failing{interrupt: true}, true, ""},
		"Once":        {"one request fails", failing{creates: 1, err: down}, true, ""},
		"Landed":      {"the answer to a request is lost", failing{creates: 1, err: down, lands: true}, true, ""},
		"Deleted":     {"so is that to the deletion", failing{deletes: 1, err: down, lands: true}, true, ""},
		"NotDeleted":  {"a user without the right", failing{deletes: 1, err: plugintest.Forbidden("artifacts")}, false, "forbidden"},
		"Down":        {"nobody makes it again", failing{creates: 100, err: down}, true, "it was deleted, for its grace period to begin anew, and cannot be made again: one moment; run the same command again with --keep"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, interrupt := context.WithCancel(t.Context())
			defer interrupt()
			tc.api.Client, tc.api.stop = plugintest.NewCluster(t).API, interrupt
			made := rewrite.Image{Host: "r.example.com", Repository: "acme/upf", Tag: "1"}.Artifact("ran")
			before := made.DeepCopy()
			since := metav1.NewTime(time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC))
			before.UID, before.Status.UnusedSince, before.Annotations = "before", &since, map[string]string{v1alpha1.AnnotationKeep: "true"}
			if err := tc.api.Client.Create(t.Context(), before); err != nil {
				t.Fatal(err)
			}
			m := &mirrorTarget{api: &tc.api}
			if err := m.hold(ctx, made); (err == nil) != (tc.says == "") || err != nil && !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%s: %v, want %q", tc.reason, err, tc.says)
			}
			there := &v1alpha1.Artifact{}
			err := tc.api.Get(t.Context(), client.ObjectKeyFromObject(made), there)
			if lost := tc.api.creates > 0; apierrors.IsNotFound(err) != lost || !lost && (!there.Kept() || (there.UID != "before") != tc.anew) {
				t.Errorf("%s: %v, the Artifact is %+v", tc.reason, err, there.ObjectMeta)
			}
		})
	}
}

// failing is an API server that fails the first requests to create and to delete Artifacts. If lands is set, it
// carries the requests out all the same. If interrupt is set, the user interrupts the command at the deletion.
type failing struct {
	client.Client
	creates, deletes int
	lands, interrupt bool
	err              error
	stop             func()
}

func (f *failing) Create(ctx context.Context, o client.Object, options ...client.CreateOption) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	absent := apierrors.IsNotFound(f.Get(ctx, client.ObjectKeyFromObject(o), &v1alpha1.Artifact{}))
	if !absent || f.creates == 0 {
		return f.Client.Create(ctx, o, options...)
	}
	f.creates--
	if !f.lands {
		return f.err
	}
	return errors.Join(f.err, f.Client.Create(ctx, o, options...))
}

func (f *failing) Delete(ctx context.Context, o client.Object, options ...client.DeleteOption) error {
	if f.interrupt {
		f.stop()
	}
	switch {
	case f.deletes == 0:
		return f.Client.Delete(ctx, o, options...)
	case f.lands:
		return errors.Join(f.err, f.Client.Delete(ctx, o, options...))
	}
	return f.err
}

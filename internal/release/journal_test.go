package release

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/journal"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
	"github.com/nfo-operator/nfo/internal/tombstone"
)

// said returns the journal's lines as "event repository outcome", sorted. It fails
// the test if a line lacks the store, the manifest, or a tag's tombstone or digest.
func said(t *testing.T, f func(context.Context)) []string {
	t.Helper()
	var out bytes.Buffer
	f(log.IntoContext(t.Context(), logr.FromSlogHandler(slog.NewJSONHandler(&out, nil))))
	var all []string
	for line := range strings.Lines(out.String()) {
		var l struct{ Event, Store, Manifest, Repository, Tag, Outcome, Reason, Tombstone, Digest string }
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatal(err)
		}
		if l.Event == "" {
			continue
		}
		if l.Store != "acme" || l.Manifest != "m" || l.Tag != "" && (l.Tombstone == "" || l.Digest == "") {
			t.Errorf("it does not say of what: %s", line)
		}
		all = append(all, strings.TrimSpace(l.Event+" "+l.Repository+" "+l.Outcome+l.Reason))
	}
	slices.Sort(all)
	return all
}

// Each change of a tag is logged once and counted.
func TestEachTagIsInTheJournal(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a", "b")
	j, err := journal.New(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	r := w.releaser()
	r.Journal = j
	got := said(t, func(ctx context.Context) {
		if _, err := r.Release(ctx, w.task()); err != nil {
			t.Error(err)
		}
	})
	if diff := cmp.Diff([]string{"Release  Released", "Untagged acme/m/a", "Untagged acme/m/b"}, got); diff != "" {
		t.Errorf("a release: -want +got\n%s", diff)
	}
	var s v1alpha1.ArtifactStore
	if err := w.api.Get(t.Context(), client.ObjectKey{Namespace: "ns", Name: "acme"}, &s); err != nil {
		t.Fatal(err)
	}
	reg, err := r.Open(t.Context(), &s)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := registrytest.PushImage(t.Context(), w.Host, "acme/m/b", "1", "other"); err != nil { // another push has taken its tag
		t.Fatal(err)
	}
	got = said(t, func(ctx context.Context) {
		grave := w.tombstones()[0]
		if _, err := r.Restore(ctx, reg, &s, &grave, func(v1alpha1.TombstoneArtifact) bool { return true }, nil); err != nil {
			t.Error(err)
		}
	})
	if diff := cmp.Diff([]string{"NotRestored acme/m/b TagTaken", "Restored acme/m/a"}, got); diff != "" {
		t.Errorf("a restore: -want +got\n%s", diff)
	}
	for name, want := range map[string]int{"nfo_tags_removed_total": 1, "nfo_tags_restored_total": 1, "nfo_tags_not_restored_total": 1, "nfo_releases_total": 1} {
		if n := testutil.CollectAndCount(j, name); n != want {
			t.Errorf("%s has %d values", name, n)
		}
	}
}

// A digest that a purge has deleted from a tombstone that it kept is not restored, and the
// journal does not blame the registry for it. Once the digest exists again, it is restored.
func TestARestoreOfWhatAPurgeHasDeleted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a")
	r := w.releaser()
	if _, err := r.Release(t.Context(), w.task()); err != nil {
		t.Fatal(err)
	}
	var s v1alpha1.ArtifactStore
	if err := w.api.Get(t.Context(), client.ObjectKey{Namespace: "ns", Name: "acme"}, &s); err != nil {
		t.Fatal(err)
	}
	reg, err := r.Open(t.Context(), &s)
	if err != nil {
		t.Fatal(err)
	}
	grave, last := w.tombstones()[0], w.digests["a"]
	e := grave.Entry("acme/m/a", "1")
	e.State, e.Reason, e.Deleted = v1alpha1.TombstoneKept, `Tagged: tag "handmade" points at it`, []string{last}
	grave.SetEntry(e)
	if err := errors.Join(w.api.Status().Update(t.Context(), &grave), reg.Delete(t.Context(), "acme/m/a", digest.Digest(last))); err != nil {
		t.Fatal(err)
	}
	var got Undone
	restore := func(ctx context.Context) {
		if got, err = r.Restore(ctx, reg, &s, &grave, func(v1alpha1.TombstoneArtifact) bool { return true }, nil); err != nil {
			t.Error(err)
		}
	}
	words := said(t, restore)
	if e = w.tombstones()[0].Entry("acme/m/a", "1"); len(words) > 0 || len(got.Lost) != 1 || e.State != v1alpha1.TombstoneUntagged || e.Reason != tombstone.DigestDeleted {
		t.Errorf("it says %v, %v is lost, and the entry is %s, %s", words, got.Lost, e.State, e.Reason)
	}
	if _, err := registrytest.PushImage(t.Context(), w.Host, "acme/m/a", "other", "a"); err != nil {
		t.Fatal(err)
	}
	if restore(t.Context()); len(got.Back) != 1 || w.at("a", "1") != last {
		t.Errorf("%v is back when the digest is", got.Back)
	}
}

// A release that is refused or fails is logged with its reason.
func TestARefusedReleaseIsInTheJournal(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		reason string
		world  func(w *world)
		want   []string
	}{
		"Held": {"a definition uses it", func(w *world) {
			d := &v1alpha1.NetworkFunctionDefinitionVersion{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "d"}}
			d.Spec.NetworkFunctionTemplate.NetworkFunctionApplications = []v1alpha1.NetworkFunctionApplication{{
				Name: "app", ArtifactProfile: v1alpha1.HelmApplicationProfile{ArtifactSource: v1alpha1.ArtifactSource{ArtifactManifestRef: &v1alpha1.LocalReference{Name: "m"}}},
			}}
			if err := w.api.Create(w.t.Context(), d); err != nil {
				w.t.Fatal(err)
			}
		}, []string{"Release  Held"}},
		"Orphan": {"somebody wants the registry left alone", func(w *world) {
			m := w.manifest.DeepCopy()
			metav1.SetMetaDataAnnotation(&m.ObjectMeta, v1alpha1.AnnotationOnDelete, v1alpha1.OnDeleteOrphan)
			if err := w.api.Update(w.t.Context(), m); err != nil {
				w.t.Fatal(err)
			}
		}, []string{"Release  Untouched"}},
		"Down":    {"the registry cannot be asked", func(w *world) { w.Down() }, []string{"Release  Failed"}},
		"Changed": {"somebody has changed the manifest since, which is not a news", func(w *world) { w.manifest = w.manifest.DeepCopy(); w.manifest.Generation-- }, nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "a")
			tc.world(w)
			got := said(t, func(ctx context.Context) { _, _ = w.releaser().Release(ctx, w.task()) })
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s: -want +got\n%s", tc.reason, diff)
			}
		})
	}
}

// An alert fires for releases that fail: a release that only has to be tried again must not count as failed.
func TestAReleaseThatIsTriedAgainAtOnceHasNotFailed(t *testing.T) {
	t.Parallel()
	conflict := apierrors.NewConflict(schema.GroupResource{Resource: "tombstones"}, "m-1", errors.New("somebody else wrote"))
	down := fmt.Errorf("resolving a:1: %w", registry.ErrUnavailable)
	for name, tc := range map[string]struct {
		reason string
		err    error
		want   string
	}{
		"Changed":    {"the manifest is read again", fmt.Errorf("reading m: %w", reference.ErrSuperseded), journal.OutcomeSuperseded},
		"Conflict":   {"the tombstone is read again", fmt.Errorf("resetting tombstone m-1: %w", conflict), journal.OutcomeSuperseded},
		"Claimed":    {"the purge ends", fmt.Errorf("restoring: %w", ErrClaimed), journal.OutcomeSuperseded},
		"Both":       {"one of several tags, and what was to be put back", errors.Join(conflict, ErrClaimed), journal.OutcomeSuperseded},
		"Down":       {"the registry cannot be asked", down, journal.OutcomeFailed},
		"DownBeside": {"the second is wrong still", errors.Join(reference.ErrSuperseded, down), journal.OutcomeFailed},
	} {
		task := Task{Manifest: &v1alpha1.ArtifactManifest{}}
		if got := task.ended(Released{}, tc.err, 0).Outcome; got != tc.want {
			t.Errorf("%s: %s, want %s: %s", name, got, tc.want, tc.reason)
		}
	}
}

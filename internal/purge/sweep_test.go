package purge

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgofake "k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/purge/plan"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

func TestSweep(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	report, err := w.run()
	w.must(err)
	w.shows(stayed, gone)

	want := map[string]string{
		"image": "delete Released", "index": "delete Released", "amd64": "delete Released", "arm64": "delete Released", "signature": "delete Released",
		"tagged": "keep Tagged", "grace": "keep GracePeriod", "live": "",
	}
	for name, verdict := range want {
		if got := w.verdict(report, name); got != verdict {
			t.Errorf("the verdict on %s is %q, want %q", name, got, verdict)
		}
	}
	// The index of referrers has no name here. It is deleted with the signature.
	if report.Deleted != 6 || report.Outcome != v1alpha1.PurgeSucceeded {
		t.Errorf("report: %s", report.Summary())
	}
	if diff := cmp.Diff(map[plan.Reason]int{plan.Tagged: 1, plan.GracePeriod: 1}, report.Kept); diff != "" {
		t.Errorf("Kept: -want +got\n%s", diff)
	}
	run, capabilities := w.lastPurge()
	if run.Deleted != 6 || run.Kept != 2 || run.Outcome != v1alpha1.PurgeSucceeded || capabilities.Delete != v1alpha1.Supported {
		t.Errorf("the store's status has %+v and %+v", run, capabilities)
	}
	if state, _ := w.state("t1", repo, "1.0.0"); state != "" {
		t.Errorf("t1 is consumed and still there: %s", state)
	}
	if state, reason := w.state("t2", repo, "1.0.1"); state != v1alpha1.TombstoneKept || reason != `Tagged: tag "handmade" points at it` {
		t.Errorf("t2 is %s, %s", state, reason)
	}
	if state, _ := w.state("t3", repo, "1.0.2"); state != v1alpha1.TombstoneUntagged {
		t.Errorf("t3 is in grace and %s", state)
	}
	lease, err := w.leases.CoordinationV1().Leases(namespace).Get(t.Context(), "acme-purge", metav1.GetOptions{})
	w.must(err)
	if *lease.Spec.HolderIdentity != "" {
		t.Errorf("the lease is held by %q after the purge", *lease.Spec.HolderIdentity)
	}
}

func TestSweepAgainDoesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	_, err := w.run()
	w.must(err)
	w.Forget()
	w.gate.writes = 0
	report, err := w.run()
	w.must(err)
	if w.Writes() != 0 || report.Deleted != 0 {
		t.Errorf("a second purge wrote %d times to the registry and says %s", w.Writes(), report.Summary())
	}
	if w.gate.writes != 1 {
		t.Errorf("a second purge wrote %d times, want once: lastPurge", w.gate.writes)
	}
}

func TestI8DryRunWritesNothing(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		reason string
		flag   bool
		change func(*v1alpha1.ArtifactStore)
	}{
		"Flag":  {"asked for by the caller", true, nil},
		"Store": {"asked for by the store", false, func(s *v1alpha1.ArtifactStore) { s.Spec.Purge.DryRun = true }},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, tc.change)
			w.gate.left = 0
			w.leases.PrependReactor("*", "*", func(a clienttesting.Action) (bool, runtime.Object, error) {
				t.Errorf("%s: a dry run does %s to a Lease", tc.reason, a.GetVerb())
				return true, nil, errCrashed
			})
			cfg := w.config()
			cfg.DryRun = tc.flag
			report, err := Run(t.Context(), cfg)
			w.must(err)
			if w.gate.writes != 0 || w.Writes() != 0 {
				t.Errorf("%s: %d writes through the gate, %d to the registry", tc.reason, w.gate.writes, w.Writes())
			}
			if report.Outcome != v1alpha1.PurgeDryRun || !report.DryRun || report.Deleted != 6 {
				t.Errorf("%s: %s", tc.reason, report.Summary())
			}
			w.shows(append(gone, stayed...), nil)
		})
	}
}

// The process dies at each write, with or without effect. Nothing
// that is kept is lost, and the next purge completes the work.
func TestI4CrashAtAnyStepIsResumed(t *testing.T) {
	t.Parallel()
	sequential := func(s *v1alpha1.ArtifactStore) { s.Spec.Purge.Concurrency = 1 }
	whole := newWorld(t, sequential)
	_, err := whole.run()
	whole.must(err)
	for n := range whole.gate.writes {
		for _, lost := range []bool{false, true} {
			t.Run(fmt.Sprintf("%dLost%t", n, lost), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, sequential)
				w.gate.left, w.gate.lost = n, lost
				if _, err := w.run(); err == nil {
					t.Error("the crash went unnoticed")
				}
				w.shows(stayed, nil)
				w.gate.open()
				w.leases = clientgofake.NewClientset() // the Lease of the dead purge has expired
				_, err := w.run()
				w.must(err)
				w.shows(stayed, nil)
				// What the dead purge deleted is missing, and its entries give it up a grace period later.
				w.clock.SetTime(now.Add(20 * time.Hour))
				_, err = w.run()
				w.must(err)
				w.shows(stayed, nil)
				w.clock.SetTime(now.Add(25 * time.Hour))
				_, err = w.run()
				w.must(err)
				w.shows([]string{"tagged", "live"}, gone)
				if state, reason := w.state("t1", repo, "1.0.0"); state != "" {
					t.Errorf("t1 is %s, %s", state, reason)
				}
				if state, _ := w.state("t2", repo, "1.0.1"); state != v1alpha1.TombstoneKept {
					t.Errorf("t2 is %s", state)
				}
			})
		}
	}
}

func TestI13ClaimLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	// The manager claims the entry after the plan was made and before the purge claims it.
	w.hooks.onTags = func(repository string) {
		if repository != web {
			return
		}
		var ts v1alpha1.Tombstone
		w.must(w.get(&ts, "t1"))
		for _, a := range ts.Spec.Artifacts {
			e := ts.Entry(a.Repository, a.Tag)
			e.State = v1alpha1.TombstoneRestoring
			ts.SetEntry(e)
		}
		w.must(w.raw.Status().Update(t.Context(), &ts))
	}
	report, err := w.run()
	w.must(err)
	w.shows(append(gone, stayed...), nil)
	if w.Writes() != 0 {
		t.Errorf("the registry was written to %d times", w.Writes())
	}
	if got := w.verdict(report, "image"); got != "keep Held" {
		t.Errorf("the verdict is %q, want keep Held", got)
	}
	if state, _ := w.state("t1", repo, "1.0.0"); state != v1alpha1.TombstoneRestoring {
		t.Errorf("the manager's claim became %s", state)
	}
}

func TestI13EveryTombstoneIsClaimed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.must(w.raw.Create(t.Context(), w.tombstone("t4", in(repo, v1alpha1.TombstoneKept, 50, "1.0.0", w.digest["image"].String()))))
	var second v1alpha1.Tombstone
	w.must(w.get(&second, "t4"))
	w.must(w.raw.Status().Update(t.Context(), w.withStatus(&second, v1alpha1.TombstoneKept)))
	w.hooks.onDelete = func(_ string, x digest.Digest) {
		for _, name := range []string{"t1", "t4"} {
			if state, _ := w.state(name, repo, "1.0.0"); x == w.digest["image"] && state != v1alpha1.TombstoneSweeping {
				t.Errorf("%s is %q when its digest is deleted, want Sweeping", name, state)
			}
		}
	}
	_, err := w.run()
	w.must(err)
	w.shows(stayed, gone)
}

func (w *world) withStatus(t *v1alpha1.Tombstone, state v1alpha1.TombstoneState) *v1alpha1.Tombstone {
	for _, a := range t.Spec.Artifacts {
		t.SetEntry(v1alpha1.TombstoneArtifactStatus{Repository: a.Repository, Tag: a.Tag, State: state, UntaggedAt: ago(50)})
	}
	return t
}

func TestI13TombstoneThatNobodyClaimedKeeps(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	reads := 0
	w.hooks.onTags = func(string) {
		if reads++; reads == 2 { // after the plan has read the tombstones
			w.must(w.raw.Create(t.Context(), w.tombstone("t4", in(repo, v1alpha1.TombstoneUntagged, 50, "1.0.9", w.digest["image"].String()))))
			var late v1alpha1.Tombstone
			w.must(w.get(&late, "t4"))
			w.must(w.raw.Status().Update(t.Context(), w.withStatus(&late, v1alpha1.TombstoneUntagged)))
		}
	}
	report, err := w.run()
	w.must(err)
	w.shows([]string{"image"}, []string{"index"})
	if got := w.verdict(report, "image"); got != "keep Held" {
		t.Errorf("the verdict is %q, want keep Held", got)
	}
	_, err = w.run()
	w.must(err)
	w.shows(stayed, gone)
}

func TestSweepOfSeveralManifests(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	const other = "acme/other/nginx"
	desc, err := registrytest.PushImage(t.Context(), w.Host, other, "", "other")
	w.must(err)
	w.must(w.raw.Create(t.Context(), w.tombstone("t5", in(other, v1alpha1.TombstoneUntagged, 50, "1.0.0", desc.Digest.String()), func(t *v1alpha1.Tombstone) { t.Spec.Manifest.Name = "other" })))
	var ts v1alpha1.Tombstone
	w.must(w.get(&ts, "t5"))
	w.must(w.raw.Status().Update(t.Context(), w.withStatus(&ts, v1alpha1.TombstoneUntagged)))
	report, err := w.run()
	w.must(err)
	w.shows(stayed, gone)
	if _, err := w.client.Resolve(t.Context(), other, desc.Digest.String()); !errors.Is(err, registry.ErrNotFound) || report.Deleted != 7 {
		t.Errorf("the other manifest's image: %v; %s", err, report.Summary())
	}
}

func TestI3StaleEvidenceIsReadAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *v1alpha1.ArtifactStore) { s.Spec.Purge.Concurrency = 1 })
	readings := map[string]int{}
	w.hooks.onTags = func(repository string) { readings[repository]++ }
	w.hooks.onDelete = func(_ string, x digest.Digest) {
		w.clock.SetTime(w.clock.Now().Add(6 * time.Second))
		if x == w.digest["index"] { // a client needs a child of the index that is being deleted
			w.tag(web, "rescued", "amd64")
		}
	}
	report, err := w.run()
	w.must(err)
	w.shows(append([]string{"amd64"}, stayed...), []string{"image", "index", "arm64", "signature"})
	if got := w.verdict(report, "amd64"); got != "keep Tagged" {
		t.Errorf("the verdict on the rescued child is %q, want keep Tagged", got)
	}
	if readings[web] < 4 {
		t.Errorf("the repository was read %d times, want once for the plan and once before each of 4 deletions", readings[web])
	}
	if state, reason := w.state("t1", web, "2.0.0"); state != v1alpha1.TombstoneKept || !strings.HasPrefix(reason, "Tagged") {
		t.Errorf("the entry is %s, %s, want Kept for the child that stays", state, reason)
	}
}

func TestI3HolderAppearsDuringTheSweep(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	reads := 0
	w.hooks.onTags = func(string) {
		// The plan reads each repository once, in parallel. Then the sweep begins.
		if reads++; reads == 2 {
			w.must(w.raw.Create(t.Context(), aDefinition("late", "cnf", "")))
		}
	}
	cfg := w.config()
	report, err := Run(t.Context(), cfg)
	w.must(err)
	w.shows(append(gone, stayed...), nil)
	if got := w.verdict(report, "image"); got != "keep Held" {
		t.Errorf("the verdict is %q, want keep Held", got)
	}
	if state, reason := w.state("t1", repo, "1.0.0"); state != v1alpha1.TombstoneKept || !strings.Contains(reason, "late") {
		t.Errorf("the entry is %s, %s", state, reason)
	}
}

func TestMaxDeletionsOverSeveralRuns(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *v1alpha1.ArtifactStore) { s.Spec.Purge.MaxDeletions = 2 })
	for run := 1; run <= 3; run++ {
		report, err := w.run()
		w.must(err)
		if report.Deleted != 2 {
			t.Errorf("run %d deleted %d digests, want 2: %s", run, report.Deleted, report.Summary())
		}
	}
	// The children of an index that an earlier run deleted are found, because the tombstone lists them.
	w.shows(stayed, gone)
	if state, reason := w.state("t1", web, "2.0.0"); state != "" {
		t.Errorf("t1 is %s, %s", state, reason)
	}
}

func TestI6OwnTagGoesWithItsDigest(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.tag(repo, "1.0.0", "image")
	var ts v1alpha1.Tombstone
	w.must(w.get(&ts, "t1"))
	e := ts.Entry(repo, "1.0.0")
	e.Reason = "TagDeleteUnsupported: the registry cannot remove a tag alone"
	ts.SetEntry(e)
	w.must(w.raw.Status().Update(t.Context(), &ts))
	w.tag(repo, "other", "image")
	_, err := w.run()
	w.must(err)
	w.shows([]string{"image"}, nil)
	state, reason := w.state("t1", repo, "1.0.0")
	if state != v1alpha1.TombstoneKept || reason != `TagDeleteUnsupported: SharedTag: tag "other", which is not ours to remove, points at it too` {
		t.Errorf("with a sibling tag the entry is %s, %s", state, reason)
	}
	w.must(w.client.Untag(t.Context(), repo, "other"))
	_, err = w.run()
	w.must(err)
	w.shows(stayed, gone)
}

func TestStoppedBetweenDigests(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *v1alpha1.ArtifactStore) { s.Spec.Purge.Concurrency = 1 })
	ctx, cancel := context.WithCancel(t.Context())
	deletions := 0
	w.hooks.onDelete = func(string, digest.Digest) {
		if deletions++; deletions == 2 {
			cancel()
		}
	}
	report, err := Run(ctx, w.config())
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "run it again") {
		t.Errorf("the error is %v", err)
	}
	if deletions != 2 || report.Kept[plan.Interrupted] == 0 {
		t.Errorf("%d deletions were begun; %s", deletions, report.Summary())
	}
	if state, reason := w.state("t1", web, "2.0.0"); state != v1alpha1.TombstoneKept || !strings.HasPrefix(reason, "Interrupted") {
		t.Errorf("the entry is %s, %s: a restore would wait", state, reason)
	}
	if run, _ := w.lastPurge(); run.Outcome != v1alpha1.PurgeFailed {
		t.Errorf("lastPurge is %+v", run)
	}
	lease, err := w.leases.CoordinationV1().Leases(namespace).Get(t.Context(), "acme-purge", metav1.GetOptions{})
	w.must(err)
	if *lease.Spec.HolderIdentity != "" {
		t.Error("the lease is not released")
	}
	w.hooks.onDelete = nil
	_, err = w.run()
	w.must(err)
	w.shows(stayed, gone)
}

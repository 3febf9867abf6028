package release

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	testingclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/inventory"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
	"github.com/nfo-operator/nfo/internal/tombstone"
)

// names returns the names of n artifacts.
func names(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("a%02d", i)
	}
	return all
}

func TestTagsAreRemovedSomeAtATime(t *testing.T) {
	t.Parallel()
	w := newWorld(t, names(3*tagsAtOnce)...)
	var mu sync.Mutex
	var now, most, deletions int
	w.Intercept(func(_ http.ResponseWriter, req *http.Request) bool {
		mu.Lock()
		now++
		if req.Method == http.MethodDelete {
			if deletions++; deletions == 1 && now > 1 {
				t.Error("the first tag is not removed alone: what the registry does with it is not known yet")
			}
		}
		most = max(most, now)
		mu.Unlock()
		<-time.After(5 * time.Millisecond)
		mu.Lock()
		now--
		mu.Unlock()
		return false
	})
	out, err := w.releaser().Release(t.Context(), w.task())
	if err != nil || len(out.Holders) > 0 {
		t.Fatal(out, err)
	}
	w.Intercept(nil)
	w.whole("after the release")
	for name := range w.digests {
		if d := w.at(name, "1"); d != "" {
			t.Errorf("the tag of %s is still at %s", name, d)
		}
	}
	if most < 2 || most > tagsAtOnce {
		t.Errorf("%d requests ran at the same time, want some and at most %d", most, tagsAtOnce)
	}
}

// A worker that fails after another worker has found a holder must not hide the holder: the tags would not be restored.
func TestI3AFailureHidesNoHolder(t *testing.T) {
	t.Parallel()
	found := []reference.Holder{{Object: reference.Object{Kind: v1alpha1.KindDefinition, Namespace: "ns", Name: "d"}}}
	failed := errors.New("the registry has failed")
	for name, order := range map[string][]func(*untagging){
		"HolderFirst": {func(u *untagging) { u.stop(found, nil) }, func(u *untagging) { u.stop(nil, failed) }},
		"HolderLast":  {func(u *untagging) { u.stop(nil, failed) }, func(u *untagging) { u.stop(found, nil) }},
	} {
		u := &untagging{}
		for _, stop := range order {
			stop(u)
		}
		if len(u.holders) != 1 || !errors.Is(u.err, failed) {
			t.Errorf("%s: holders %v, error %v", name, u.holders, u.err)
		}
	}
}

// A new holder is found after the last tag at the latest, and then
// every tag is restored, in whatever order the tags were removed.
func TestI3AHolderThatAppearsWhileTagsAreRemoved(t *testing.T) {
	t.Parallel()
	w := newWorld(t, names(3*tagsAtOnce)...)
	holder := &v1alpha1.NetworkFunctionDefinitionVersion{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "d"}}
	holder.Spec.NetworkFunctionTemplate.NetworkFunctionApplications = []v1alpha1.NetworkFunctionApplication{{
		Name:            "app",
		ArtifactProfile: v1alpha1.HelmApplicationProfile{ArtifactSource: v1alpha1.ArtifactSource{ArtifactManifestRef: &v1alpha1.LocalReference{Name: "m"}}},
	}}
	var mu sync.Mutex
	deletions := 0
	w.Intercept(func(_ http.ResponseWriter, req *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		if req.Method != http.MethodDelete {
			return false
		}
		if deletions++; deletions == tagsAtOnce {
			if err := w.api.Create(req.Context(), holder); err != nil {
				t.Error(err)
			}
		}
		return false
	})
	out, err := w.releaser().Release(t.Context(), w.task())
	if err != nil || len(out.Holders) != 1 {
		t.Fatalf("%+v, %v", out, err)
	}
	for name, d := range w.digests {
		if at := w.at(name, "1"); at != d {
			t.Errorf("the tag of %s is at %q, want %s", name, at, d)
		}
	}
}

// The cache may know no store of the name, or the previous one, when the entries are listed. Such entries say nothing
// about the store's present place: the manifest would be deleted, with its tags left behind and in no tombstone.
func TestI4WhatWasListedOfAnotherPlaceIsNotReleased(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a")
	r := w.releaser()
	other := w.location
	other.Prefix = "elsewhere"
	for reason, at := range map[string]v1alpha1.RegistryLocation{"no store was known": {}, "another store was known": other} {
		task := w.task()
		task.Location, task.Entries = at, inventory.Entries(w.manifest, at)
		if out, err := r.Release(t.Context(), task); !errors.Is(err, reference.ErrSuperseded) || len(out.Tombstones) > 0 {
			t.Errorf("%s: released as %v: %v, want %v", reason, out.Tombstones, err, reference.ErrSuperseded)
		}
	}
	if w.at("a", "1") == "" || len(w.tombstones()) > 0 {
		t.Errorf("something was released: %v", w.tombstones())
	}
	if _, err := r.Release(t.Context(), w.task()); err != nil {
		t.Fatal(err)
	}
	if w.at("a", "1") != "" || len(w.tombstones()) != 1 {
		t.Errorf("the tag is at %q, and there are %d tombstones", w.at("a", "1"), len(w.tombstones()))
	}
}

// lookedAt is an API server that reports each time the manifest is read.
type lookedAt struct {
	client.Reader
	times int
	then  func(times int)
}

func (l *lookedAt) Get(ctx context.Context, key client.ObjectKey, into client.Object, opts ...client.GetOption) error {
	if _, is := into.(*v1alpha1.ArtifactManifest); is {
		l.times++
		l.then(l.times)
	}
	return l.Reader.Get(ctx, key, into, opts...)
}

// A push moves the tag after it was resolved, while the evidence is read again.
func TestI4ATagThatMovesWhileTheEvidenceIsReadIsNotRemoved(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a")
	var store v1alpha1.ArtifactStore
	if err := w.api.Get(t.Context(), client.ObjectKey{Namespace: "ns", Name: "acme"}, &store); err != nil {
		t.Fatal(err)
	}
	store.Status.Capabilities.TagDelete = v1alpha1.Supported
	if err := w.api.Status().Update(t.Context(), &store); err != nil {
		t.Fatal(err)
	}
	clock := testingclock.NewFakePassiveClock(time.Now())
	pushed := ""
	r := w.releaser()
	r.Clock, r.Live = clock, &lookedAt{Reader: w.api, then: func(times int) {
		switch times {
		case 1:
			clock.SetTime(clock.Now().Add(MaxEvidence/2 + time.Millisecond))
		case 2:
			d, err := registrytest.PushImage(t.Context(), w.Host, "acme/m/a", "1", "second")
			if err != nil {
				t.Error(err)
			}
			pushed = d.Digest.String()
		}
	}}
	if _, err := r.Release(t.Context(), w.task()); !errors.Is(err, reference.ErrSuperseded) {
		t.Errorf("it ended with %v, want ErrSuperseded", err)
	}
	if at := w.at("a", "1"); pushed == "" || at != pushed {
		t.Errorf("the tag is at %q, want it where it was pushed to, %q", at, pushed)
	}
}

func TestAReleaseHasAsManyTombstonesAsItsEntriesNeed(t *testing.T) {
	t.Parallel()
	m := &v1alpha1.ArtifactManifest{}
	m.Name, m.UID = "m", "uid"
	task := func(left int) (Task, []Finding) {
		task, found := Task{Manifest: m, Cause: v1alpha1.CauseReleased}, []Finding(nil)
		m.Spec.Artifacts = nil
		for i := range 512 + left {
			e := v1alpha1.ArtifactStatus{ArtifactName: "a", ArtifactVersion: strconv.Itoa(i), Repository: "acme/m/a"}
			if i < 512 {
				m.Spec.Artifacts = append(m.Spec.Artifacts, v1alpha1.ManifestArtifact{ArtifactName: "a", ArtifactVersion: e.ArtifactVersion})
			}
			task.Entries, found = append(task.Entries, e), append(found, Finding{ArtifactStatus: e})
		}
		return task, found
	}
	own := tombstone.Name(m, v1alpha1.CauseReleased, "")
	if few, found := task(512); len(few.Group(found)) != 1 || len(few.Group(found)[own]) != 1024 {
		t.Errorf("what fits into one tombstone is in %d", len(few.Group(found)))
	}
	many, found := task(4000)
	groups := many.Group(found)
	if len(groups[own]) != 512 {
		t.Errorf("the manifest's tombstone has %d entries, want what is listed", len(groups[own]))
	}
	all := 0
	for name, group := range groups {
		if all += len(group); len(group) > tombstone.MaxEntries {
			t.Errorf("%s has %d entries", name, len(group))
		}
		if again := many.Group(group[:1]); len(again[name]) != 1 {
			t.Errorf("an interrupted release finds %s no more", name)
		}
	}
	if all != len(found) {
		t.Errorf("%d of %d entries have a tombstone", all, len(found))
	}
}

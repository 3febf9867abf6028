package plan

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nfo-operator/nfo/internal/purge/reading"
)

func TestPlanOfWhatHasNoTag(t *testing.T) {
	t.Parallel()
	r := content{
		tags:     map[string]string{"1.0.0": "x"},
		indexes:  map[string][]string{"x": {"y"}, "index": {"amd64", "arm64"}, "a": nil, "b": nil, "inner": nil},
		subjects: map[string]string{"signature": "index"},
		missing:  []string{"c"},
	}.reading()
	r.Listed = ds("y", "index", "amd64", "arm64", "signature", "a", "b", "c", "inner")
	c := clusterOf(t, aStore(), aManifest(records("1", "b")), aTombstone("t", released(25, "9", "a")), aTombstone("u", released(1, "8", "inner")))
	got := said(Decide(c, map[string]reading.Repository{repo: r}), names...)
	want := map[string]string{
		"a":     "delete Released",  // it has a tombstone already
		"index": "keep GracePeriod", // its parts are deleted with it
		"inner": "keep GracePeriod", // its grace period has begun
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	for _, v := range Decide(c, map[string]reading.Repository{repo: r}) {
		if v.Found() != (v.Digest == d("index")) {
			t.Errorf("%s is found: %t", v.Digest, v.Found())
		}
	}
}

func TestPlanKeepsWhatIsLocked(t *testing.T) {
	t.Parallel()
	r := content{indexes: map[string][]string{"index": {"amd64"}, "amd64": nil}}.reading()
	r.Locked = ds("index")
	vs := Decide(clusterOf(t, aStore(), aTombstone("t", released(25, "9", "index", "amd64"))), map[string]reading.Repository{repo: r})
	if diff := cmp.Diff(map[string]string{"index": "keep Locked", "amd64": "keep IndexChild"}, said(vs, names...)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestOrphanReferrer(t *testing.T) {
	t.Parallel()
	r := content{tags: map[string]string{"sha256-" + d("a").Encoded() + ".sig": "signature"}, indexes: map[string][]string{"signature": nil}, missing: []string{"a"}}.reading()
	vs := Decide(clusterOf(t, aStore(), aTombstone("t", released(60, "9", "a"), missing(24))), map[string]reading.Repository{repo: r})
	if diff := cmp.Diff(map[string]string{"a": "delete Released", "signature": "delete OrphanReferrer"}, said(vs, names...)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	vs = Decide(clusterOf(t, aStore(), aTombstone("t", released(60, "9", "a"), missing(23))), map[string]reading.Repository{repo: r})
	if diff := cmp.Diff(map[string]string{"a": "keep Unsettled", "signature": "keep Referrer"}, said(vs, names...)); diff != "" {
		t.Errorf("while the subject may be there: -want +got\n%s", diff)
	}
}

// Nothing counts of a repository that cannot be read: what the registry lists without a tag must
// not be kept for its grace period, because that would hide the reason.
func TestI2WhatIsListedOfAnUnreadableRepositoryDoesNotCount(t *testing.T) {
	t.Parallel()
	c := clusterOf(t, aStore(), aTombstone("t", released(25, "1.0.0", "a")))
	r := content{err: errors.New("page 2 failed")}.reading()
	r.Listed = ds("a", "b")
	vs := Decide(c, map[string]reading.Repository{repo: r})
	if diff := cmp.Diff(map[string]string{"a": "keep Unreadable"}, said(vs, "a", "b")); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

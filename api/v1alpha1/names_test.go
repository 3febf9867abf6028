package v1alpha1

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func TestParseRegistryURL(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		reason string
		url    string
		want   RegistryLocation
		bad    bool
	}{
		"Plain":        {reason: "scheme, host, prefix", url: "https://registry.example.com/acme", want: RegistryLocation{Host: "registry.example.com", Prefix: "acme"}},
		"HostCase":     {reason: "hosts have no case", url: "https://Registry.Example.com", want: RegistryLocation{Host: "registry.example.com"}},
		"DefaultPort":  {reason: "the default port is dropped", url: "https://r:443/a/b/", want: RegistryLocation{Host: "r", Prefix: "a/b"}},
		"PlainHTTP":    {reason: "http is plain HTTP", url: "http://r:80/a", want: RegistryLocation{PlainHTTP: true, Host: "r", Prefix: "a"}},
		"PaddedPort":   {reason: "a port is a number", url: "https://r:0443/a", want: RegistryLocation{Host: "r", Prefix: "a"}},
		"PortZero":     {reason: "zero is not a port", url: "https://r:0/a", bad: true},
		"OtherPort":    {reason: "another port stays", url: "http://r:443", want: RegistryLocation{PlainHTTP: true, Host: "r:443"}},
		"NoScheme":     {reason: "a scheme is needed", url: "registry.example.com/acme", bad: true},
		"OtherScheme":  {reason: "only http and https", url: "oci://r/a", bad: true},
		"User":         {reason: "credentials belong in a Secret", url: "https://user:secret@r/a", bad: true},
		"Query":        {reason: "no query", url: "https://r/a?x=y", bad: true},
		"EmptySegment": {reason: "no empty segments", url: "https://r/a//b", bad: true},
		"NoHost":       {reason: "a host is needed", url: "https:///a", bad: true},
		"Garbage":      {reason: "not a URL", url: "https://[::1", bad: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := ParseRegistryURL(tc.url)
			if tc.bad != errors.Is(err, ErrRegistryURL) {
				t.Fatalf("%s: error %v", tc.reason, err)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("the error tells the password: %v", err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s: -want +got\n%s", tc.reason, diff)
			}
		})
	}
}

func store(name, url string, age int) ArtifactStore {
	return ArtifactStore{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), CreationTimestamp: metav1.Unix(int64(age), 0)},
		Spec:       ArtifactStoreSpec{Registry: RegistrySpec{URL: url}},
	}
}

func TestI9OverlappingStoresHaveOneWinner(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		reason string
		a, b   ArtifactStore
		loser  string
	}{
		"Equal":        {"the older one wins", store("a", "https://r/x", 1), store("b", "https://r/x", 2), "b"},
		"Prefix":       {"a prefix overlaps", store("a", "https://r/x/y", 1), store("b", "https://r/x", 2), "b"},
		"Whole":        {"the whole registry overlaps all", store("a", "https://r", 2), store("b", "https://r/x", 1), "a"},
		"Port":         {"the default port is the same place", store("a", "https://R:443/x", 1), store("b", "https://r/x/", 2), "b"},
		"Scheme":       {"the scheme makes no other registry", store("a", "https://r/x", 1), store("b", "http://r/x", 2), "b"},
		"SameAge":      {"then the UID decides", store("a", "https://r/x", 1), store("b", "https://r/x", 1), "b"},
		"Segments":     {"prefixes are whole segments", store("a", "https://r/x", 1), store("b", "https://r/xy", 2), ""},
		"OtherHost":    {"another host is another place", store("a", "https://r/x", 1), store("b", "https://s/x", 2), ""},
		"OtherPort":    {"another port is another place", store("a", "https://r:5000/x", 1), store("b", "https://r/x", 2), ""},
		"Unparsable":   {"what cannot be parsed wins over nobody", store("a", "nonsense", 1), store("b", "https://r/x", 2), ""},
		"BothTheWorst": {"two unparsable ones do not meet", store("a", "nonsense", 1), store("b", "nonsense", 2), ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := []ArtifactStore{tc.b, tc.a}
			if got := tc.a.Winner(all) != nil; got != (tc.loser == "a") {
				t.Errorf("%s: a yields = %t", tc.reason, got)
			}
			if got := tc.b.Winner(all) != nil; got != (tc.loser == "b") {
				t.Errorf("%s: b yields = %t", tc.reason, got)
			}
		})
	}
}

func TestSamePlace(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		a, b string
		want bool
	}{
		"Equal":  {"https://r/x", "https://R:443/x/", true},
		"Scheme": {"https://r/x", "http://r/x", true},
		"Below":  {"https://r/x", "https://r/x/y", false},
		"Host":   {"https://r/x", "https://s/x", false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, errA := ParseRegistryURL(tc.a)
			b, errB := ParseRegistryURL(tc.b)
			if errA != nil || errB != nil || a.Same(b) != tc.want || b.Same(a) != tc.want {
				t.Errorf("%s and %s: same = %t", tc.a, tc.b, a.Same(b))
			}
		})
	}
}

func TestI9OwnsOnlyTheManifestsPath(t *testing.T) {
	t.Parallel()
	l := RegistryLocation{Host: "r", Prefix: "acme"}
	tests := map[string]bool{
		"acme/m/nginx": true, "acme/m2/nginx": false, "acme/m": false, "acme/m/": false, "acme/m/a/b": false,
		"m/nginx": false, "other/m/nginx": false, "acme/m/../x": false, "": false,
	}
	for repository, want := range tests {
		if got := l.Owns("m", repository); got != want {
			t.Errorf("Owns(m, %q) = %t, want %t", repository, got, want)
		}
	}
	if l.Owns("m/a", "acme/m/a/nginx") {
		t.Error("a manifest's name with a slash owns another manifest's path")
	}
	root := RegistryLocation{Host: "r"}
	if !root.Owns("m", root.Repository("m", ManifestScoped, "nginx")) {
		t.Error("a store without prefix does not own its own path")
	}
	if got := root.Repository("m", StoreScoped, "a/b"); got != "a/b" {
		t.Errorf("store-scoped repository = %q", got)
	}
}

func TestTombstoneName(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ manifest, suffix, want string }{
		"Plain":  {"cnf", "", "cnf-01234567"},
		"Suffix": {"cnf", "ab12", "cnf-01234567-ab12"},
		"Cut":    {strings.Repeat("a", 242) + ".x", "", strings.Repeat("a", 242) + ".x-01234567"},
		"CutDot": {strings.Repeat("a", 243) + ".x", "", strings.Repeat("a", 243) + "-01234567"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := TombstoneName(tc.manifest, "01234567-89ab", tc.suffix)
			if got != tc.want || len(got) > 253 {
				t.Errorf("TombstoneName = %q (%d), want %q", got, len(got), tc.want)
			}
		})
	}
}

func TestGraceEnds(t *testing.T) {
	t.Parallel()
	at := metav1.Unix(1000, 0)
	tests := map[string]struct {
		reason     string
		annotation bool
		untagged   *metav1.Time
		then, now  time.Duration
		want       int64
		ok         bool
	}{
		"Never":     {"no untaggedAt, no candidate", true, nil, 0, 0, 0, false},
		"Then":      {"the longer one counts", false, &at, 2 * time.Hour, time.Hour, 1000 + 7200, true},
		"Now":       {"the longer one counts", false, &at, time.Hour, 2 * time.Hour, 1000 + 7200, true},
		"ExpireNow": {"a person may end it", true, &at, time.Hour, time.Hour, 1000, true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ts := &Tombstone{Spec: TombstoneSpec{GracePeriod: metav1.Duration{Duration: tc.then}}}
			if tc.annotation {
				ts.Annotations = map[string]string{AnnotationExpireNow: ""}
			}
			got, ok := ts.GraceEnds(TombstoneArtifactStatus{UntaggedAt: tc.untagged}, tc.now)
			if ok != tc.ok || (ok && got.Unix() != tc.want) {
				t.Errorf("%s: GraceEnds = %v, %t", tc.reason, got, ok)
			}
		})
	}
}

// A tombstone whose grace was ended by a person claims nothing that is not so, and says who did it.
func TestTombstoneExpires(t *testing.T) {
	t.Parallel()
	at, soon, end := metav1.Unix(1000, 0), metav1.Unix(1060, 0), metav1.Unix(1000+3600, 0)
	with, without := map[string]string{AnnotationExpireNow: ""}, map[string]string(nil)
	tests := map[string]struct {
		reason      string
		annotations map[string]string
		state       TombstoneState
		until       metav1.Time
		changed     bool
		want        metav1.Time
		says        bool
	}{
		"Annotated": {"it is restorable until a purge comes", with, TombstoneUntagged, end, true, soon, true},
		"Kept":      {"so is what a purge kept", with, TombstoneKept, end, true, soon, true},
		"Over":      {"what has ended already ended then", with, TombstoneUntagged, at, true, at, true},
		"Purged":    {"nothing can be restored any more", with, TombstonePurged, end, false, end, false},
		"Plain":     {"the grace counts", without, TombstoneUntagged, end, false, end, false},
		"Longer":    {"the store's grace was longer at the release", without, TombstoneUntagged, metav1.Unix(9000, 0), false, metav1.Unix(9000, 0), false},
		"Removed":   {"the grace counts again", without, TombstoneUntagged, soon, true, metav1.Unix(1000+7200, 0), false},
	}
	for name, tc := range tests {
		ts := &Tombstone{Spec: TombstoneSpec{GracePeriod: metav1.Duration{Duration: time.Hour}, Artifacts: []TombstoneArtifact{{Repository: "r", Tag: "1"}}}}
		ts.SetEntry(TombstoneArtifactStatus{Repository: "r", Tag: "1", State: tc.state, UntaggedAt: &at})
		ts.Summarise()
		ts.Annotations, ts.Status.RestorableUntil = tc.annotations, &tc.until
		changed := ts.ExpiryStale(soon)
		if ts.Expire(soon, 2*time.Hour); changed != tc.changed || !ts.Status.RestorableUntil.Equal(&tc.want) {
			t.Errorf("%s: changed %t, restorable until %v, want %t, %v: %s", name, changed, ts.Status.RestorableUntil, tc.changed, tc.want, tc.reason)
		}
		if says := ts.Status.Conditions[0].Message; strings.Contains(says, "nfo.dev/expire-now has ended the grace period: the next purge deletes") != tc.says {
			t.Errorf("%s: it says %s: %s", name, says, tc.reason)
		}
		if ts.ExpiryStale(soon) {
			t.Errorf("%s: it changes twice", name)
		}
	}
}

// Two releases in one second, of which the first was passed over: what that had is older than what the second has.
func TestI5AnUndoThatWasPassedOverIsTheLast(t *testing.T) {
	t.Parallel()
	at := metav1.Unix(1000, 0)
	of := func(name, reason string) *Tombstone {
		ts := &Tombstone{Spec: TombstoneSpec{Cause: CauseReleased, Artifacts: []TombstoneArtifact{{Repository: "r", Tag: "1"}}}}
		ts.Name = name
		ts.SetEntry(TombstoneArtifactStatus{Repository: "r", Tag: "1", State: TombstoneUntagged, UntaggedAt: &at, Reason: reason})
		return ts
	}
	if all := Undos([]*Tombstone{of("over", ReasonTagTaken+": so it is"), of("last", "")}, "r", "1"); all[0].Name != "last" || len(all) != 2 {
		t.Errorf("%s is restored first", all[0].Name)
	}
}

func TestTombstoneIsProlonged(t *testing.T) {
	t.Parallel()
	first, later := metav1.Unix(1000, 0), metav1.Unix(2000, 0)
	ts := &Tombstone{Spec: TombstoneSpec{GracePeriod: metav1.Duration{Duration: time.Minute}}}
	ts.SetEntry(TombstoneArtifactStatus{Repository: "r", Tag: "1", State: TombstoneUntagged, UntaggedAt: &first})
	ts.SetEntry(TombstoneArtifactStatus{Repository: "r", Tag: "2", State: TombstoneUntagged, UntaggedAt: &later, Reason: ReasonTagTaken})
	for _, step := range []struct {
		reason string
		state  TombstoneState
		want   int64
	}{
		{"a tag that something else was pushed to promises nothing for the others", TombstoneUntagged, 1060},
		{"once it is the last one, its digest is kept for its own grace", TombstoneRestored, 2060},
	} {
		ts.SetEntry(TombstoneArtifactStatus{Repository: "r", Tag: "1", State: step.state, UntaggedAt: &first})
		if ts.Prolong(time.Second); ts.Status.RestorableUntil.Unix() != step.want {
			t.Errorf("restorable until %d, want %d: %s", ts.Status.RestorableUntil.Unix(), step.want, step.reason)
		}
	}
	ts.Annotations = map[string]string{AnnotationExpireNow: ""}
	if ts.Prolong(time.Hour); ts.Status.RestorableUntil.Unix() != 2060 {
		t.Errorf("what was ended by hand is restorable until %d", ts.Status.RestorableUntil.Unix())
	}
}

func TestTombstoneSummary(t *testing.T) {
	t.Parallel()
	ts := &Tombstone{Spec: TombstoneSpec{Artifacts: []TombstoneArtifact{{Repository: "r", Tag: "1"}, {Repository: "r", Tag: "2"}}}}
	step := func(tag string, s TombstoneState, reason string, status metav1.ConditionStatus, consumed bool) {
		t.Helper()
		ts.SetEntry(TombstoneArtifactStatus{Repository: "r", Tag: tag, State: s})
		ts.Summarise()
		if c := ts.Status.Conditions[0]; c.Reason != reason || c.Status != status || ts.Consumed() != consumed {
			t.Errorf("after %s=%s: %s/%s, consumed %t", tag, s, c.Status, c.Reason, ts.Consumed())
		}
	}
	step("1", TombstoneUntagged, "Pending", metav1.ConditionTrue, false)
	step("2", TombstoneUntagged, "Untagged", metav1.ConditionTrue, false)
	step("1", TombstoneSweeping, "Sweeping", metav1.ConditionTrue, false)
	step("1", TombstonePurged, "Untagged", metav1.ConditionTrue, false)
	step("2", TombstoneRestored, "Restored", metav1.ConditionFalse, true)
}

// What a purge has deleted is not offered, and is not the registry's fault.
func TestTombstoneSummaryOfDeletedDigests(t *testing.T) {
	t.Parallel()
	kept := func(tag, reason string, deleted ...string) TombstoneArtifactStatus {
		return TombstoneArtifactStatus{Repository: "r", Tag: tag, State: TombstoneKept, Reason: reason, Deleted: deleted}
	}
	tests := map[string]struct {
		entries []TombstoneArtifactStatus
		status  metav1.ConditionStatus
		reason  string
		says    string
	}{
		"Part":      {[]TombstoneArtifactStatus{kept("1", "", "part")}, metav1.ConditionTrue, "Kept", "To restore what is untagged or kept"},
		"Last":      {[]TombstoneArtifactStatus{kept("1", "", "last")}, metav1.ConditionFalse, "Kept", "A purge has deleted the digests"},
		"LastTried": {[]TombstoneArtifactStatus{kept("1", "UndoLost: a purge has deleted the digest", "last")}, metav1.ConditionFalse, "Kept", "A purge has deleted the digests"},
		"LastOfOne": {[]TombstoneArtifactStatus{kept("1", "", "last"), kept("2", "")}, metav1.ConditionTrue, "Kept", "needs of 1 of them; push these tags again. To restore the others"},
		"Taken":     {[]TombstoneArtifactStatus{kept("1", "TagTaken: InUse: so it is")}, metav1.ConditionFalse, "Kept", "Other content was pushed to 1 of the tags"},
		"TakenOne":  {[]TombstoneArtifactStatus{kept("1", "TagTaken: so it is"), kept("2", "")}, metav1.ConditionTrue, "Kept", "To restore what is untagged or kept"},
		"Lost":      {[]TombstoneArtifactStatus{kept("1", "UndoLost: so it is", "part")}, metav1.ConditionFalse, "UndoLost", "The registry says"},
	}
	for name, tc := range tests {
		ts := &Tombstone{}
		for _, e := range tc.entries {
			ts.Spec.Artifacts = append(ts.Spec.Artifacts, TombstoneArtifact{Repository: e.Repository, Tag: e.Tag, Digests: []string{"part", "last"}})
			ts.SetEntry(e)
		}
		ts.Summarise()
		if c := ts.Status.Conditions[0]; c.Status != tc.status || c.Reason != tc.reason || !strings.Contains(c.Message, tc.says) {
			t.Errorf("%s: %s/%s %s; want %s/%s %s", name, c.Status, c.Reason, c.Message, tc.status, tc.reason, tc.says)
		}
	}
}

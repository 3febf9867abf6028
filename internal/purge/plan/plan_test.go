package plan

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/graph"
	"github.com/nfo-operator/nfo/internal/purge/reading"
)

// said returns each verdict as the tables write it: "delete Reason" or "keep Reason".
func said(vs []Verdict, names ...string) map[string]string {
	byDigest := map[string]string{}
	for _, n := range names {
		byDigest[d(n).String()] = n
	}
	got := map[string]string{}
	for _, v := range vs {
		verb := "keep "
		if v.Delete {
			verb = "delete "
		}
		name := byDigest[v.Digest.String()]
		if name == "" {
			name = v.Digest.String()
		}
		got[name] = verb + string(v.Reason)
	}
	return got
}

var names = []string{"a", "b", "c", "x", "y", "index", "inner", "amd64", "arm64", "signature", "referrers"}

// says sets the reason of all entries of a tombstone.
func says(reason string) func(*v1alpha1.Tombstone) {
	return func(t *v1alpha1.Tombstone) {
		for i := range t.Status.Artifacts {
			t.Status.Artifacts[i].Reason = reason
		}
	}
}

// claimed marks the tombstone as claimed by a restore for the given time.
func claimed(d time.Duration) func(*v1alpha1.Tombstone) {
	return func(t *v1alpha1.Tombstone) {
		t.Status.Conditions = []metav1.Condition{{
			Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: string(v1alpha1.TombstoneRestoring), LastTransitionTime: metav1.NewTime(now.Add(-d)),
		}}
	}
}

func TestPlan(t *testing.T) {
	t.Parallel()
	satellite := "sha256-" + d("a").Encoded()
	tests := map[string]struct {
		reason  string
		objects []client.Object
		content content
		want    map[string]string
		says    string // in the message of every kept digest
	}{
		"Released": {
			reason:  "grace is over and nothing keeps it",
			objects: []client.Object{aTombstone("t", released(25, "1.0.0", "a"))},
			want:    map[string]string{"a": "delete Released"},
		},
		"Causes": {
			reason: "the cause is the reason to delete",
			objects: []client.Object{
				aTombstone("t1", because(v1alpha1.CauseRemoved), released(25, "1", "a")),
				aTombstone("t2", because(v1alpha1.CauseOverwritten), released(25, "2", "b")),
				aTombstone("t3", because(v1alpha1.CauseFound), in(repo, v1alpha1.TombstoneKept, 25, "3", "c")),
			},
			want: map[string]string{"a": "delete Removed", "b": "delete Overwritten", "c": "delete Found"},
		},
		"Resumed": {
			reason:  "an entry that a purge which died has claimed",
			objects: []client.Object{aTombstone("t", in(repo, v1alpha1.TombstoneSweeping, 60, "1.0.0", "a"), missing(24))},
			content: content{missing: []string{"a"}},
			want:    map[string]string{"a": "delete Released"},
		},
		"I2MissingOnce": {
			reason:  "an undo is not given up because a registry says once that it is not there",
			objects: []client.Object{aTombstone("t", released(60, "1.0.0", "a"))},
			content: content{missing: []string{"a"}},
			want:    map[string]string{"a": "keep Unsettled"},
			says:    "is kept until a purge sees the same from 2026-08-02T12:00:00Z on",
		},
		"I2MissingForLessThanAGrace": {
			reason:  "nor because it says so twice",
			objects: []client.Object{aTombstone("t", released(60, "1.0.0", "a"), missing(23))},
			content: content{missing: []string{"a"}},
			want:    map[string]string{"a": "keep Unsettled"},
			says:    "since 2026-07-31T13:00:00Z",
		},
		"I2MissingForOneTombstone": {
			reason:  "each tombstone gives up by itself",
			objects: []client.Object{aTombstone("t1", released(60, "1.0.0", "a"), missing(30)), aTombstone("t2", released(60, "2.0.0", "a"))},
			content: content{missing: []string{"a"}},
			want:    map[string]string{"a": "keep Unsettled"},
			says:    "tombstones/publisher/t2",
		},
		"DeletedByUs": {
			reason: "a purge before this one deleted it",
			objects: []client.Object{aTombstone("t", released(60, "1.0.0", "a"), func(t *v1alpha1.Tombstone) {
				t.Status.Artifacts[0].Deleted = []string{d("a").String()}
			})},
			content: content{missing: []string{"a"}},
			want:    map[string]string{"a": "delete Released"},
		},
		"I2DanglingTag": {
			reason:  "a tag that is listed and does not resolve could be at any digest",
			objects: []client.Object{aTombstone("t", released(60, "1.0.0", "a"))},
			content: content{dangling: []string{"stable"}},
			want:    map[string]string{"a": "keep Unsettled"},
			says:    "stable is referred to and does not resolve, since 2026-08-01T12:00:00Z",
		},
		"I2DanglingTagForAGrace": {
			reason:  "a purge a grace period ago saw the same",
			objects: []client.Object{aTombstone("t", released(60, "1.0.0", "a")), unresolved("stable", 24)},
			content: content{dangling: []string{"stable"}},
			want:    map[string]string{"a": "delete Released"},
		},
		"I2DanglingTagForLess": {
			reason:  "one less than a grace period ago",
			objects: []client.Object{aTombstone("t", released(60, "1.0.0", "a")), unresolved("stable", 23)},
			content: content{dangling: []string{"stable"}},
			want:    map[string]string{"a": "keep Unsettled"},
			says:    "2026-08-01T13:00:00Z",
		},
		"I2MissingRoot": {
			reason:  "what a live manifest has recorded may be an index of the candidate",
			objects: []client.Object{aManifest(lists("2"), records("2", "b")), aTombstone("t", released(60, "1.0.0", "a"))},
			content: content{missing: []string{"b"}},
			want:    map[string]string{"a": "keep Unsettled"},
			says:    d("b").String() + " is referred to",
		},
		"I2MissingTarget": {
			reason:  "so may be what a tag is at",
			objects: []client.Object{aTombstone("t", released(60, "1.0.0", "a"))},
			content: content{tags: map[string]string{"stable": "b"}, missing: []string{"b"}},
			want:    map[string]string{"a": "keep Unsettled"},
		},
		"I2MissingSatellite": {
			reason:  "and what a satellite's tag is at",
			objects: []client.Object{aTombstone("t", released(60, "1.0.0", "a"))},
			content: content{tags: map[string]string{"sha256-" + d("x").Encoded(): "b"}, missing: []string{"b"}},
			want:    map[string]string{"a": "keep Unsettled"},
		},
		"I2MissingNestedIndex": {
			reason:  "and an index within an index",
			objects: []client.Object{aTombstone("t", released(60, "1.0.0", "a"))},
			content: content{tags: map[string]string{"stable": "index"}, indexes: map[string][]string{"index": {"inner"}}, missing: []string{"inner"}, opaque: []string{"inner"}},
			want:    map[string]string{"a": "keep Unsettled"},
		},
		"SparseIndex": {
			reason:  "an image of an index that was never pushed leads to nothing",
			objects: []client.Object{aTombstone("t", released(60, "1.0.0", "a"))},
			content: content{tags: map[string]string{"stable": "index"}, indexes: map[string][]string{"index": {"amd64"}}, missing: []string{"amd64"}},
			want:    map[string]string{"a": "delete Released"},
		},
		"I2UnresolvedElsewhere": {
			reason: "what is unknown in another repository concerns that one",
			objects: []client.Object{aManifest(lists("2"), func(m *v1alpha1.ArtifactManifest) {
				m.Status.Artifacts = []v1alpha1.ArtifactStatus{{ArtifactName: "web", ArtifactVersion: "2", Repository: "acme/cnf/web", Digest: d("b").String()}}
			}), aTombstone("t", released(60, "1.0.0", "a"))},
			content: content{missing: []string{"b"}},
			want:    map[string]string{"a": "delete Released"},
		},
		"TagTaken": {
			reason: "the manifest's tag is at another digest, so applying it cannot restore this one",
			objects: []client.Object{aManifest(lists("1.0.0"), records("1.0.0", "b")), aTombstone("t", released(60, "1.0.0", "a"), func(t *v1alpha1.Tombstone) {
				t.Status.Artifacts[0].Reason = v1alpha1.ReasonTagTaken + ": the tag is at another digest"
			})},
			content: content{tags: map[string]string{"1.0.0": "b"}},
			want:    map[string]string{"a": "delete Released"},
		},
		"I1HandTaggedSibling": {
			reason:  "a tag that somebody else set on the digest",
			objects: []client.Object{aTombstone("t", released(25, "1.0.0", "a"))},
			content: content{tags: map[string]string{"handmade": "a"}},
			want:    map[string]string{"a": "keep Tagged"},
			says:    `tag "handmade" points at it`,
		},
		"I1TagIsBack": {
			reason:  "the entry's own tag was pushed again, and the registry can untag: it is not ours any more",
			objects: []client.Object{aTombstone("t", released(25, "1.0.0", "a"))},
			content: content{tags: map[string]string{"1.0.0": "a"}},
			want:    map[string]string{"a": "keep Tagged"},
		},
		"I6OwnTagStays": {
			reason:  "the registry removes no tags: the tag goes with its digest",
			objects: []client.Object{aTombstone("t", released(25, "1.0.0", "a"), tagStays())},
			content: content{tags: map[string]string{"1.0.0": "a"}},
			want:    map[string]string{"a": "delete Released"},
		},
		"I6SiblingOfOwnTag": {
			reason:  "not before all tags on it are ours to remove",
			objects: []client.Object{aTombstone("t", released(25, "1.0.0", "a"), tagStays())},
			content: content{tags: map[string]string{"1.0.0": "a", "other": "a"}},
			want:    map[string]string{"a": "keep SharedTag"},
		},
		"I6OwnTagMovedOn": {
			reason:  "the tag is at another digest: that is not ours, the old one is",
			objects: []client.Object{aTombstone("t", released(25, "1.0.0", "a"), tagStays())},
			content: content{tags: map[string]string{"1.0.0": "x"}, indexes: map[string][]string{"x": {"b"}}},
			want:    map[string]string{"a": "delete Released"},
		},
		"I1HandTaggedIndexKeepsReleasedChild": {
			reason:  "an index that somebody else tagged reaches a released digest",
			objects: []client.Object{aTombstone("t", released(25, "1.0.0", "amd64"))},
			content: content{tags: map[string]string{"handmade": "index"}, indexes: map[string][]string{"index": {"inner"}, "inner": {"amd64"}}},
			want:    map[string]string{"amd64": "keep IndexChild"},
			says:    `tag "handmade" points at it`,
		},
		"PartsGoToo": {
			reason:  "children and signatures go with a released index",
			objects: []client.Object{aTombstone("t", released(25, "1.0.0", "index"))},
			content: content{
				tags:     map[string]string{"sha256-" + d("index").Encoded(): "referrers"},
				indexes:  map[string][]string{"index": {"amd64", "arm64"}, "referrers": {"signature"}},
				subjects: map[string]string{"signature": "index"},
			},
			want: map[string]string{"index": "delete Released", "amd64": "delete Released", "arm64": "delete Released", "referrers": "delete Released", "signature": "delete Released"},
		},
		"I1SharedChild": {
			reason:  "a child that another tag's index lists stays",
			objects: []client.Object{aTombstone("t", released(25, "1.0.0", "index"))},
			content: content{tags: map[string]string{"2.0.0": "x"}, indexes: map[string][]string{"index": {"amd64", "arm64"}, "x": {"amd64"}}},
			want:    map[string]string{"index": "delete Released", "amd64": "keep IndexChild", "arm64": "delete Released"},
		},
		"I1CosignTag": {
			reason:  "a signature's tag is not a root: image and signature go",
			objects: []client.Object{aTombstone("t", released(25, "1.0.0", "a"))},
			content: content{tags: map[string]string{satellite + ".sig": "signature"}, indexes: map[string][]string{"a": nil, "signature": nil}},
			want:    map[string]string{"a": "delete Released", "signature": "delete Released"},
		},
		"I1SignatureOfKept": {
			reason:  "a released signature lives with its image",
			objects: []client.Object{aTombstone("t", released(25, "sig", "signature"))},
			content: content{tags: map[string]string{"1.0.0": "a"}, subjects: map[string]string{"signature": "a"}},
			want:    map[string]string{"signature": "keep Referrer"},
		},
		"I1TaggedSatelliteKeepsSubject": {
			reason:  "an SBOM with an ordinary tag keeps the image that it is about",
			objects: []client.Object{aTombstone("t", released(25, "1.0.0", "a"))},
			content: content{tags: map[string]string{"sbom": "b"}, subjects: map[string]string{"b": "a"}},
			want:    map[string]string{"a": "keep Subject", "b": "keep Tagged"},
		},
		"GracePeriod": {
			reason:  "it can still be restored",
			objects: []client.Object{aTombstone("t", released(23, "1.0.0", "a"))},
			want:    map[string]string{"a": "keep GracePeriod"},
			says:    "until 2026-08-01T13:00:00Z",
		},
		"GraceAtRelease": {
			reason: "the longer of grace at release and now",
			objects: []client.Object{aTombstone("t", released(25, "1.0.0", "a"), func(t *v1alpha1.Tombstone) {
				t.Spec.GracePeriod = metav1.Duration{Duration: 48 * time.Hour}
			})},
			want: map[string]string{"a": "keep GracePeriod"},
		},
		"ExpireNow": {
			reason: "the annotation ends the grace early",
			objects: []client.Object{aTombstone("t", released(1, "1.0.0", "a"), func(t *v1alpha1.Tombstone) {
				t.Annotations = map[string]string{v1alpha1.AnnotationExpireNow: ""}
			})},
			want: map[string]string{"a": "delete Released"},
		},
		"I1SharedDigestLatestGrace": {
			reason: "a digest of two tombstones waits for the later one",
			objects: []client.Object{
				aTombstone("t1", released(72, "1.0.0", "a")), aTombstone("t2", released(2, "1.0.1", "a")), aTombstone("t3", released(5, "1.0.2", "a")),
			},
			want: map[string]string{"a": "keep GracePeriod"},
			says: "tombstones/publisher/t2 restores it until 2026-08-02T10:00:00Z",
		},
		"I1InGraceKeepsParts": {
			reason: "an untagged index in grace keeps a child that another tombstone lets go",
			objects: []client.Object{
				aTombstone("t1", released(72, "1.0.0", "amd64")), aTombstone("t2", released(2, "2.0.0", "index")),
			},
			content: content{indexes: map[string][]string{"index": {"amd64"}}},
			want:    map[string]string{"amd64": "keep IndexChild", "index": "keep GracePeriod"},
		},
		"ConsumedKeepsNothing": {
			reason: "what is restored or purged has no say",
			objects: []client.Object{
				aTombstone("t1", released(72, "1.0.0", "a")), aTombstone("t2", in(repo, v1alpha1.TombstoneRestored, 2, "1.0.0", "a")), aTombstone("t3", in(repo, v1alpha1.TombstonePurged, 2, "1.0.0", "a")),
			},
			want: map[string]string{"a": "delete Released"},
		},
		"I13Restoring": {
			reason: "the manager has claimed the digest in another tombstone",
			objects: []client.Object{
				aTombstone("t1", released(72, "1.0.0", "a")), aTombstone("t2", in(repo, v1alpha1.TombstoneRestoring, 72, "1.0.0", "a")),
			},
			want: map[string]string{"a": "keep Held"},
		},
		"I13RestoringBegins": {
			reason:  "a restore that has just claimed it, of a manifest that is not listed yet",
			objects: []client.Object{aTombstone("t1", released(72, "1.0.0", "a")), aTombstone("t2", in(repo, v1alpha1.TombstoneRestoring, 72, "1.0.0", "a"), claimed(14*time.Minute))},
			want:    map[string]string{"a": "keep Held"},
			says:    "t2 is being restored",
		},
		"I13RestoringListed": {
			reason:  "a restore that fails is tried again as long as a manifest lists the tag",
			objects: []client.Object{aManifest(lists("1.0.0")), aTombstone("t1", released(72, "1.0.1", "a")), aTombstone("t2", in(repo, v1alpha1.TombstoneRestoring, 72, "1.0.0", "a"), claimed(72*time.Hour))},
			want:    map[string]string{"a": "keep Held"},
			says:    "t2 is being restored",
		},
		"RestoringAbandoned": {
			reason:  "the manifest went before the restore succeeded, and nobody will end it",
			objects: []client.Object{aTombstone("t", in(repo, v1alpha1.TombstoneRestoring, 72, "1.0.0", "a"), claimed(15*time.Minute))},
			want:    map[string]string{"a": "delete Released"},
		},
		"RestoringAbandonedInGrace": {
			reason:  "it can be restored until its grace is over",
			objects: []client.Object{aTombstone("t", in(repo, v1alpha1.TombstoneRestoring, 23, "1.0.0", "a"), claimed(15*time.Minute))},
			want:    map[string]string{"a": "keep GracePeriod"},
		},
		"I4Pending": {
			reason: "recorded and not untagged yet: it keeps, and is not a candidate itself",
			objects: []client.Object{
				aTombstone("t1", released(72, "1.0.0", "a")),
				aTombstone("t2", in(repo, v1alpha1.TombstonePending, 72, "1.0.0", "a", "b"), func(t *v1alpha1.Tombstone) { t.Status.Artifacts = nil }),
			},
			want: map[string]string{"a": "keep GracePeriod"},
		},
		"I13HeldByDefinition": {
			reason:  "a definition names the manifest, though that is gone",
			objects: []client.Object{aTombstone("t", released(25, "1.0.0", "a")), aDefinition("nfdv", "cnf", "")},
			want:    map[string]string{"a": "keep Held"},
			says:    "networkfunctiondefinitionversions/publisher/nfdv keeps artifactmanifests/publisher/cnf",
		},
		"I13OverwrittenHeldByDefinition": {
			reason:  "a definition holds what was overwritten, too",
			objects: []client.Object{aTombstone("t", because(v1alpha1.CauseOverwritten), released(25, "1.0.0", "a")), aManifest(lists("1.0.0")), aDefinition("nfdv", "cnf", "")},
			want:    map[string]string{"a": "keep Held"},
		},
		"I1Deployed": {
			reason:  "a definition came to the digest, wherever its tag is now",
			objects: []client.Object{aTombstone("t", released(25, "1.0.0", "a")), deploying("a", aDefinition("nfdv", "cnf2", ""))},
			want:    map[string]string{"a": "keep Held"},
			says:    "networkfunctiondefinitionversions/publisher/nfdv deploys it as app",
		},
		"DeployedElsewhere": {
			reason: "it came to that digest in another registry",
			objects: []client.Object{
				aTombstone("t", released(25, "1.0.0", "a")), deploying("a", aDefinition("nfdv", "cnf2", "")),
				aManifest(func(m *v1alpha1.ArtifactManifest) {
					m.Name, m.UID, m.Spec.ArtifactStoreRef.Name = "cnf2", "cnf2", "other"
				}),
				aStore(func(s *v1alpha1.ArtifactStore) {
					s.Name, s.UID, s.Spec.Registry.URL = "other", "other", "https://other.example.com"
				}),
			},
			want: map[string]string{"a": "delete Released"},
		},
		"I1NeedsAnImage": {
			reason: "a chart of another manifest needs an image of the one that is gone",
			objects: []client.Object{aTombstone("t", released(25, "1.0.0", "a")), deploying("", aDefinition("nfdv", "cnf2", ""), v1alpha1.ChartImage{
				Image: "cnf/nginx:1.0.0", State: v1alpha1.ImageOtherManifest, Manifest: "cnf",
			})},
			want: map[string]string{"a": "keep Held"},
			says: "networkfunctiondefinitionversions/publisher/nfdv keeps artifactmanifests/publisher/cnf",
		},
		"I13HeldByOldForm": {
			reason:  "a definition names the artifact by its store",
			objects: []client.Object{aTombstone("t", released(25, "1.0.0", "a")), aDefinition("nfdv", "", "acme")},
			want:    map[string]string{"a": "keep Held"},
			says:    "names artifact nginx by its store",
		},
		"I2HeldByOldFormOfUnknownStore": {
			reason:  "the store that is named is gone: it may have been this place",
			objects: []client.Object{aTombstone("t", released(25, "1.0.0", "a")), aDefinition("nfdv", "", "gone")},
			want:    map[string]string{"a": "keep Held"},
		},
		"OldFormElsewhere": {
			reason: "another store's artifact of the same name holds nothing here",
			objects: []client.Object{aTombstone("t", released(25, "1.0.0", "a")), aDefinition("nfdv", "", "other"),
				aStore(func(s *v1alpha1.ArtifactStore) {
					s.Name, s.UID, s.Spec.Registry.URL = "other", "other", "https://other.example.com"
				})},
			want: map[string]string{"a": "delete Released"},
		},
		"OtherNameHoldsNothing": {
			reason:  "names compare whole",
			objects: []client.Object{aTombstone("t", released(25, "1.0.0", "a")), aDefinition("nfdv", "cnf2", "")},
			want:    map[string]string{"a": "delete Released"},
		},
		"I13HeldByManifest": {
			reason:  "the manifest was applied again and lists the tag",
			objects: []client.Object{aTombstone("t", released(25, "1.0.0", "a")), aManifest(lists("1.0.0"))},
			want:    map[string]string{"a": "keep Held"},
			says:    "artifactmanifests/publisher/cnf lists 1.0.0",
		},
		"I13HeldByTerminatingManifest": {
			reason: "one that is being deleted holds still, by its status",
			objects: []client.Object{aTombstone("t", released(25, "1.0.0", "a")), aManifest(records("1.0.0", "b"), func(m *v1alpha1.ArtifactManifest) {
				m.DeletionTimestamp = ago(1)
			})},
			want: map[string]string{"a": "keep Held"},
		},
		"OtherVersionListed": {
			reason:  "the manifest has moved on to another version",
			objects: []client.Object{aTombstone("t", released(25, "1.0.0", "a")), aManifest(lists("1.0.1"), looked("1.0.1"))},
			want:    map[string]string{"a": "delete Released"},
		},
		"I2TagThatKeptItIsNotListed": {
			reason:  "an earlier purge saw a tag of others, and now the list is empty",
			objects: []client.Object{aTombstone("t", in(repo, v1alpha1.TombstoneKept, 25, "1.0.0", "a"), says(`Tagged: tag "keep" points at it`))},
			want:    map[string]string{"a": "keep Unsettled"},
		},
		"I2SharedTagThatKeptItIsNotListed": {
			reason:  "in a registry that removes no tags, too",
			objects: []client.Object{aTombstone("t", in(repo, v1alpha1.TombstoneKept, 25, "1.0.0", "a"), says(`TagDeleteUnsupported: SharedTag: tag "keep", which is not ours to remove, points at it too`))},
			want:    map[string]string{"a": "keep Unsettled"},
		},
		"I2SignedThatKeptItIsNotListed": {
			reason:  "what was kept with its image is in doubt with the tag of that",
			objects: []client.Object{aTombstone("t", in(repo, v1alpha1.TombstoneKept, 25, "sig", "signature"), says("Referrer: satellite of "+d("a").String()))},
			want:    map[string]string{"signature": "keep Unsettled"},
		},
		"I2SubjectOfWhatKeptItIsNotListed": {
			reason:  "and so is what a tagged satellite is about",
			objects: []client.Object{aTombstone("t", in(repo, v1alpha1.TombstoneKept, 25, "1.0.0", "a"), says("Subject: subject of "+d("b").String()))},
			want:    map[string]string{"a": "keep Unsettled"},
		},
		"I2TagThatKeptItIsNotListedForLess": {
			reason:  "a purge less than a grace period ago saw the empty list, too, and has written why it kept the digest",
			objects: []client.Object{aTombstone("t", in(repo, v1alpha1.TombstoneKept, 72, "1.0.0", "a"), says("Unsettled: it is referred to")), unresolved(d("a").String(), 23)},
			want:    map[string]string{"a": "keep Unsettled"},
			says:    "2026-08-01T13:00:00Z",
		},
		"I2TagThatKeptItIsNotListedAndNotRecorded": {
			reason:  "the purge that saw the empty list died before it recorded that",
			objects: []client.Object{aTombstone("t", in(repo, v1alpha1.TombstoneKept, 72, "1.0.0", "a"), says("Unsettled: it is referred to"))},
			want:    map[string]string{"a": "keep Unsettled"},
			says:    "2026-08-02T12:00:00Z",
		},
		"I2TagThatKeptItIsNotListedAndUsedBetween": {
			reason:  "a workload has kept the digest for a while since",
			objects: []client.Object{aTombstone("t", in(repo, v1alpha1.TombstoneKept, 72, "1.0.0", "a"), says("InUse: a workload runs it")), unresolved(d("a").String(), 23)},
			want:    map[string]string{"a": "keep Unsettled"},
		},
		"I2TagThatKeptItIsNotListedAndClaimed": {
			reason:  "a purge that died has claimed it, with others of the repository, when the tag was there",
			objects: []client.Object{aTombstone("t", in(repo, v1alpha1.TombstoneSweeping, 72, "1.0.0", "a"), says(`Tagged: tag "keep" points at it`))},
			want:    map[string]string{"a": "keep Unsettled"},
		},
		"I2TagThatKeptItIsNotListedForAGrace": {
			reason:  "a purge a grace period ago saw the same",
			objects: []client.Object{aTombstone("t", in(repo, v1alpha1.TombstoneKept, 72, "1.0.0", "a"), says("Unsettled: it is referred to")), unresolved(d("a").String(), 24)},
			want:    map[string]string{"a": "delete Released"},
		},
		"TagThatKeptItHasGoneAndItsGraceIsEnded": {
			reason: "somebody ended the grace of what stands for the list, so that a minute is enough",
			objects: []client.Object{aTombstone("t", in(repo, v1alpha1.TombstoneKept, 72, "1.0.0", "a"), says("Unsettled: it is referred to"), func(t *v1alpha1.Tombstone) {
				t.Annotations = map[string]string{v1alpha1.AnnotationExpireNow: ""}
			}), unresolved(d("a").String(), 1)},
			want: map[string]string{"a": "delete Released"},
		},
		"I2OtherVersionNeverSeen": {
			reason:  "nobody has looked where the other version's tag is, and the registry may be wrong for a moment",
			objects: []client.Object{aTombstone("t", released(25, "1.0.0", "a")), aManifest(lists("1.0.1"))},
			want:    map[string]string{"a": "keep Unsettled"},
		},
		"OverwrittenNotHeldByManifest": {
			reason:  "the tag has moved on: the manifest could never get the old digest back",
			objects: []client.Object{aTombstone("t", because(v1alpha1.CauseOverwritten), released(25, "1.0.0", "a")), aManifest(lists("1.0.0"), records("1.0.0", "b"))},
			want:    map[string]string{"a": "delete Overwritten"},
		},
		"I1OverwrittenRecorded": {
			reason:  "a manifest's status has that very digest",
			objects: []client.Object{aTombstone("t", because(v1alpha1.CauseOverwritten), released(25, "1.0.0", "a")), aManifest(lists("1.0.0"), records("1.0.0", "a"))},
			want:    map[string]string{"a": "keep Held"},
		},
		"I1OverwrittenSealed": {
			reason: "the annotation has what was sealed, of which the status says nothing any more",
			objects: []client.Object{aTombstone("t", because(v1alpha1.CauseOverwritten), released(25, "1.0.0", "a")), aManifest(lists("1.0.0"), func(m *v1alpha1.ArtifactManifest) {
				m.Spec.ArtifactManifestState = v1alpha1.ManifestUploaded
				m.Annotations = map[string]string{v1alpha1.AnnotationSealedDigests: d("a").String()}
			})},
			content: content{tags: map[string]string{"1.0.0": "b"}},
			want:    map[string]string{"a": "keep Held"},
			says:    "artifactmanifests/publisher/cnf has it at 1.0.0",
		},
		"ManifestInOtherStore": {
			reason: "the manifest lives in another registry now",
			objects: []client.Object{aTombstone("t", released(25, "1.0.0", "a")),
				aManifest(lists("1.0.0"), func(m *v1alpha1.ArtifactManifest) { m.Spec.ArtifactStoreRef.Name = "other" }),
				aStore(func(s *v1alpha1.ArtifactStore) {
					s.Name, s.UID, s.Spec.Registry.URL = "other", "other", "https://other.example.com"
				})},
			want: map[string]string{"a": "delete Released"},
		},
		"I9OutsideOfOurPath": {
			reason:  "a tombstone does not say where we may delete",
			objects: []client.Object{aTombstone("t", in("acme/other/nginx", v1alpha1.TombstoneUntagged, 25, "1.0.0", "a"))},
			want:    map[string]string{"a": "keep NotOurs"},
		},
		"I9ManifestNameWithSlash": {
			reason: "no manifest is called so",
			objects: []client.Object{aTombstone("t", in("acme/a/b/nginx", v1alpha1.TombstoneUntagged, 25, "1.0.0", "a"), func(t *v1alpha1.Tombstone) {
				t.Spec.Manifest.Name = "a/b"
			})},
			want: map[string]string{"a": "keep NotOurs"},
		},
		"I9OtherRegistry": {
			reason: "a tombstone of another place is not ours",
			objects: []client.Object{aTombstone("t", released(25, "1.0.0", "a"), func(t *v1alpha1.Tombstone) {
				t.Spec.RegistryURL = "https://registry.example.com/acme2"
			})},
			want: map[string]string{},
		},
		"SamePlaceOtherWords": {
			reason: "equal places compare equal",
			objects: []client.Object{aTombstone("t", released(25, "1.0.0", "a"), func(t *v1alpha1.Tombstone) {
				t.Spec.RegistryURL = "https://Registry.example.com:443/acme/"
			})},
			want: map[string]string{"a": "delete Released"},
		},
		"I2InvalidDigest": {
			reason:  "an entry that cannot be read keeps all that it names",
			objects: []client.Object{aTombstone("t1", released(25, "1.0.0", "a", "sha256:short")), aTombstone("t2", released(25, "1.0.1", "a", "b"))},
			want:    map[string]string{"a": "keep Unreadable", "sha256:short": "keep Unreadable", "b": "delete Released"},
		},
		"I2UnreadableRepository": {
			reason:  "no answer, no deletion",
			objects: []client.Object{aTombstone("t1", released(25, "1.0.0", "a")), aTombstone("t2", released(2, "1.0.1", "b"))},
			content: content{err: errors.New("page 2 failed")},
			want:    map[string]string{"a": "keep Unreadable", "b": "keep GracePeriod"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := clusterOf(t, append([]client.Object{aStore()}, tc.objects...)...)
			vs := Decide(c, map[string]reading.Repository{repo: tc.content.reading()})
			if diff := cmp.Diff(tc.want, said(vs, names...)); diff != "" {
				t.Errorf("%s\nplan: -want +got\n%s", tc.reason, diff)
			}
			for _, v := range vs {
				if !v.Delete && !strings.Contains(v.Message, tc.says) {
					t.Errorf("%s\nI7: %q does not say %q", tc.reason, v.Message, tc.says)
				}
				if len(v.Tombstones) == 0 || (!v.Delete && v.Message == "") {
					t.Errorf("%s\nI7: %s %s has no tombstone or no message", tc.reason, v.Reason, v.Digest)
				}
			}
		})
	}
}

func TestPlanOrder(t *testing.T) {
	t.Parallel()
	c := clusterOf(t, aStore(), aTombstone("t", released(25, "1.0.0", "index")))
	r := content{
		tags:     map[string]string{"sha256-" + d("index").Encoded(): "referrers"},
		indexes:  map[string][]string{"index": {"amd64", "inner"}, "inner": {"amd64", "arm64"}, "referrers": {"signature"}},
		subjects: map[string]string{"signature": "index"},
	}
	at := map[string]int{}
	for i, v := range Decide(c, map[string]reading.Repository{repo: r.reading()}) {
		for _, n := range names {
			if d(n) == v.Digest {
				at[n] = i
			}
		}
	}
	for _, before := range [][2]string{{"index", "inner"}, {"inner", "amd64"}, {"inner", "arm64"}, {"index", "referrers"}, {"referrers", "signature"}} {
		if at[before[0]] > at[before[1]] {
			t.Errorf("%s is deleted after its part %s", before[0], before[1])
		}
	}
}

func TestBudget(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		reason  string
		limit   int32
		missing []string
		want    map[string]string
	}{
		"NoCap":   {"0 means all", 0, nil, map[string]string{"a": "delete Released", "index": "delete Released", "amd64": "delete Released"}},
		"Oldest":  {"what was untagged first goes first, an index before its child", 2, nil, map[string]string{"a": "keep OverBudget", "index": "delete Released", "amd64": "delete Released"}},
		"InTwo":   {"a child is over before its index is", 1, nil, map[string]string{"a": "keep OverBudget", "index": "delete Released", "amd64": "keep OverBudget"}},
		"Missing": {"what is gone already costs nothing", 1, []string{"index"}, map[string]string{"a": "keep OverBudget", "index": "delete Released", "amd64": "delete Released"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := aStore(func(s *v1alpha1.ArtifactStore) { s.Spec.Purge.MaxDeletions = tc.limit })
			c := clusterOf(t, store, aTombstone("t1", released(30, "1.0.1", "a")), aTombstone("t2", released(60, "1.0.0", "index"), missing(30)))
			r := content{indexes: map[string][]string{"index": {"amd64"}}, missing: tc.missing}
			got := said(Decide(c, map[string]reading.Repository{repo: r.reading()}), names...)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\nplan: -want +got\n%s", tc.reason, diff)
			}
		})
	}
}

func TestI7Explain(t *testing.T) {
	t.Parallel()
	root := graph.Root{Digest: d("root"), Reason: Tagged, Because: `tag "v1" points at it`}
	tests := map[string]struct {
		why  graph.Why
		want string
	}{
		"Root":  {graph.Why{Root: root, Reason: Tagged}, `tag "v1" points at it`},
		"Child": {graph.Why{Root: root, Reason: graph.IndexChild, From: d("root")}, "child of " + d("root").String() + `, which is kept: tag "v1" points at it`},
		"Deep":  {graph.Why{Root: root, Reason: graph.Referrer, From: d("x")}, "satellite of " + d("x").String() + ", which is kept with " + d("root").String() + `: tag "v1" points at it`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := Explain(tc.why); got != tc.want {
				t.Errorf("explain = %q, want %q", got, tc.want)
			}
		})
	}
}

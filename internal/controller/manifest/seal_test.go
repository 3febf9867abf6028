package manifest

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/controller/pass"
	"github.com/nfo-operator/nfo/internal/inventory"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/tombstone"
)

const (
	sealedAt = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	intruder = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	third    = "sha256:cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
)

// drifted returns an entry sealed at sealedAt whose tag was seen at another digest.
func drifted(to string) v1alpha1.ArtifactStatus {
	a := present(sealedAt)
	a.State, a.MovedTo = v1alpha1.ArtifactMoved, to
	return a
}

func unrecoverable(a v1alpha1.ArtifactStatus) v1alpha1.ArtifactStatus {
	a.Reason = tombstone.DigestLost
	return a
}

// sealedManifest returns an observation of a sealed manifest with a
// recorded entry, whose tag is now at the digest now; "" if it is missing.
func sealedManifest(recorded v1alpha1.ArtifactStatus, now string, change ...func(*manifestSeen)) manifestSeen {
	return observed(func(s *manifestSeen) {
		s.manifest.Spec.ArtifactManifestState = v1alpha1.ManifestUploaded
		s.manifest.Status.Artifacts = []v1alpha1.ArtifactStatus{recorded}
		s.tags[listed] = tagSeen{there: now != "", digest: now}
		for _, c := range change {
			c(s)
		}
	})
}

// uploadedAsOf sets the condition Uploaded of an earlier pass, for this generation.
func uploadedAsOf(generation int64) func(*manifestSeen) {
	return func(s *manifestSeen) {
		s.manifest.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionUploaded, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonComplete, ObservedGeneration: generation}}
	}
}

func asking(d string) func(*manifestSeen) {
	return func(s *manifestSeen) { s.manifest.Annotations = map[string]string{v1alpha1.AnnotationRestoreDigest: d} }
}

func TestDecideSealed(t *testing.T) {
	t.Parallel()
	const complete = "Ready=True/Ready Referenced=False/Unreferenced Uploaded=True/Complete"
	const tampered = "Ready=False/Tampered Referenced=False/Unreferenced Uploaded=False/Tampered"
	undo := grave(v1alpha1.CauseReleased, v1alpha1.TombstoneUntagged, 10) // at sha256:a
	tests := map[string]struct {
		reason  string
		seen    manifestSeen
		entry   v1alpha1.ArtifactStatus
		buries  string
		restore []string
		poll    time.Duration
		want    string
	}{
		"I1Moved":          {reason: "the sealed digest stays recorded, and gets a tombstone", seen: sealedManifest(present(sealedAt), intruder), entry: drifted(intruder), buries: sealedAt, poll: pollComplete, want: tampered},
		"I4MovedStill":     {reason: "one drift is recorded once", seen: sealedManifest(drifted(intruder), intruder), entry: drifted(intruder), poll: pollComplete, want: tampered},
		"I1MovedOn":        {reason: "a second drift buries what the first one brought", seen: sealedManifest(drifted(intruder), third), entry: drifted(third), buries: intruder, poll: pollComplete, want: tampered},
		"MovedBack":        {reason: "by anyone: all is as it was sealed, and what was there meanwhile gets a tombstone", seen: sealedManifest(drifted(intruder), sealedAt), entry: present(sealedAt), buries: intruder, poll: pollSealed, want: complete},
		"MovedBackLost":    {reason: "what could not be put back is there again", seen: sealedManifest(unrecoverable(drifted(intruder)), sealedAt), entry: present(sealedAt), buries: intruder, poll: pollSealed, want: complete},
		"MovedThenGone":    {reason: "where it was stays known, so that it is not recorded twice", seen: sealedManifest(drifted(intruder), ""), entry: goneFrom(intruder), poll: pollMissing, want: strings.ReplaceAll(tampered, "Tampered", "Missing")},
		"GoneThenMoved":    {reason: "the same drift as before", seen: sealedManifest(goneFrom(intruder), intruder), entry: drifted(intruder), poll: pollComplete, want: tampered},
		"Gone":             {reason: "a missing tag of a sealed manifest is missing", seen: sealedManifest(present(sealedAt), ""), entry: tagGone(sealedAt), poll: pollMissing, want: strings.ReplaceAll(tampered, "Tampered", "Missing")},
		"FirstSeen":        {reason: "a manifest that was born sealed seals what is pushed first", seen: sealedManifest(tagGone(""), intruder, uploadedAsOf(3)), entry: present(intruder), poll: pollSealed, want: complete},
		"Sealing":          {reason: "the first look after the sealing that finds what was recorded settles it", seen: sealedManifest(present(intruder), intruder, uploadedAsOf(2)), entry: present(intruder), poll: pollSealed, want: complete},
		"I2SealingDiffers": {reason: "one that finds something else is followed by another look", seen: sealedManifest(present(sealedAt), intruder, uploadedAsOf(2)), entry: present(intruder), buries: sealedAt, poll: pollMissing, want: complete},
		"I2StatusLost": {reason: "what was sealed outlives the status", seen: sealedManifest(v1alpha1.ArtifactStatus{}, intruder, func(s *manifestSeen) {
			s.manifest.Status = v1alpha1.ArtifactManifestStatus{}
			s.manifest.Annotations = map[string]string{v1alpha1.AnnotationSealedDigests: sealedAt}
		}), entry: drifted(intruder), buries: sealedAt, poll: pollComplete, want: tampered},
		"I2StatusAndSealLost": {reason: "two looks have to agree then", seen: sealedManifest(v1alpha1.ArtifactStatus{}, intruder, func(s *manifestSeen) {
			s.manifest.Status = v1alpha1.ArtifactManifestStatus{}
		}), entry: present(intruder), poll: pollMissing, want: complete},
		"Sealed":            {reason: "the registry has been asked since", seen: sealedManifest(present(sealedAt), intruder, uploadedAsOf(3)), entry: drifted(intruder), buries: sealedAt, poll: pollComplete, want: tampered},
		"Between":           {reason: "between polls what was recorded stands", seen: sealedManifest(drifted(intruder), intruder, unpolled), entry: drifted(intruder), poll: pollComplete, want: tampered},
		"I5NotTheSealedOne": {reason: "an undo must not put a sealed tag at another digest", seen: sealedManifest(present(sealedAt), "", func(s *manifestSeen) { s.tombstones = []v1alpha1.Tombstone{undo} }), entry: tagGone(sealedAt), poll: pollMissing, want: strings.ReplaceAll(tampered, "Tampered", "Missing")},
		"I5TheSealedOne":    {reason: "one that has the sealed digest may", seen: sealedManifest(present("sha256:a"), "", func(s *manifestSeen) { s.tombstones = []v1alpha1.Tombstone{undo} }), entry: tagGone("sha256:a"), restore: []string{undo.Name}, poll: pollMissing, want: strings.ReplaceAll(tampered, "Tampered", "Restoring")},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := decideManifest(tc.seen)
			want := outline{Artifacts: []v1alpha1.ArtifactStatus{tc.entry}, Restore: tc.restore, Poll: tc.poll, Conditions: tc.want}
			var buries []string
			if tc.buries != "" {
				want.Overwritten, buries = 1, []string{tc.buries}
			}
			if diff := cmp.Diff(want, outlineOf(v)); diff != "" {
				t.Errorf("%s\ndecideManifest: -want +got\n%s", tc.reason, diff)
			}
			var got []string
			for _, e := range v.overwritten {
				got = append(got, e.Digest)
			}
			if diff := cmp.Diff(buries, got); diff != "" {
				t.Errorf("%s\nrecorded: -want +got\n%s", tc.reason, diff)
			}
		})
	}
}

func goneFrom(last string) v1alpha1.ArtifactStatus {
	a := drifted(last)
	a.State = v1alpha1.ArtifactMissing
	return a
}

func unpolled(s *manifestSeen) { s.polled, s.tags = false, nil }

func TestSealedSaysWhatToDo(t *testing.T) {
	t.Parallel()
	other := drifted(intruder)
	other.ArtifactName, other.Digest = "other", third
	both := func(s *manifestSeen) {
		s.manifest.Spec.Artifacts = append(s.manifest.Spec.Artifacts, v1alpha1.ManifestArtifact{ArtifactName: "other", ArtifactVersion: "1.0.0"})
		other.Repository = "acme/m/other"
		s.manifest.Status.Artifacts = append(s.manifest.Status.Artifacts, other)
		s.tags[inventory.Entry{Name: "other", Version: "1.0.0"}] = tagSeen{there: true, digest: intruder}
	}
	command := "kubectl annotate am m nfo.dev/restore-digest="
	tests := map[string]struct {
		reason string
		seen   manifestSeen
		says   []string
		not    string
	}{
		"Moved":   {"names tag, both digests and the two ways on", sealedManifest(drifted(intruder), intruder), []string{"1 of 1 tags", repo + ":1.0.0 (sealed at " + sealedAt + ", now at " + intruder + ")", command + sealedAt + ".", "new manifest"}, "Push them"},
		"Missing": {"a missing tag can be put back too", sealedManifest(present(sealedAt), ""), []string{"1 of 1 artifacts", "last seen at " + sealedAt, "Push them", command + sealedAt + "."}, "new manifest"},
		"Both":    {"both in one message", sealedManifest(present(sealedAt), "", both), []string{"1 of 2 tags", "acme/m/other:1.0.0 (sealed at " + third, "1 of 2 artifacts", repo + ":1.0.0 (last seen at", command + "<sealed digest>."}, sealedAt + "."},
		"Lost":    {"nothing is asked for that was tried in vain", sealedManifest(unrecoverable(drifted(intruder)), intruder), []string{sealedAt + ", which is not in the registry any more: push it again, now at", "new manifest"}, command},
		"Never":   {"what was never there cannot be put back", sealedManifest(tagGone(""), ""), []string{"Push them"}, command},
		"Unsealed": {"an order has no effect there", observed(func(s *manifestSeen) {
			s.manifest.Status.Artifacts, s.tags[listed] = []v1alpha1.ArtifactStatus{present(sealedAt)}, tagSeen{}
		}), []string{"Push them"}, command},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, kind := range []string{v1alpha1.ConditionUploaded, v1alpha1.ConditionReady} {
				message := saidOf(decideManifest(tc.seen).conditions, kind).Message
				for _, text := range tc.says {
					if !strings.Contains(message, text) {
						t.Errorf("%s: %s does not say %q: %s", tc.reason, kind, text, message)
					}
				}
				if strings.Contains(message, tc.not) {
					t.Errorf("%s: %s says %q: %s", tc.reason, kind, tc.not, message)
				}
			}
		})
	}
}

func saidOf(cs pass.Conditions, kind string) metav1.Condition {
	var all []metav1.Condition
	cs.Apply(&all, 3)
	if c := apimeta.FindStatusCondition(all, kind); c != nil {
		return *c
	}
	return metav1.Condition{}
}

func TestOrder(t *testing.T) {
	t.Parallel()
	unsealed := func(s *manifestSeen) { s.manifest.Spec.ArtifactManifestState = v1alpha1.ManifestUploading }
	down := func(s *manifestSeen) { s.tags, s.trouble = map[inventory.Entry]tagSeen{}, registry.ErrUnavailable }
	tests := map[string]struct {
		reason   string
		seen     manifestSeen
		reseat   int
		answered bool
		ready    string
		says     string
	}{
		"Moved":         {"over what was pushed", sealedManifest(drifted(intruder), intruder, asking(sealedAt)), 1, true, "False/Tampered", ""},
		"MovedUnseen":   {"the poll of this pass is the first to see it", sealedManifest(present(sealedAt), intruder, asking(sealedAt)), 1, true, "False/Tampered", ""},
		"Missing":       {"there is nothing to overwrite", sealedManifest(present(sealedAt), "", asking(sealedAt)), 1, true, "False/Missing", ""},
		"Present":       {"it is there already", sealedManifest(present(sealedAt), sealedAt, asking(sealedAt)), 0, true, "True/Ready", ""},
		"I2NotLooked":   {"nothing is written without a fresh look", sealedManifest(drifted(intruder), intruder, unpolled, asking(sealedAt)), 0, false, "False/Tampered", ""},
		"I2Down":        {"the registry cannot be asked: the order waits", sealedManifest(drifted(intruder), intruder, down, asking(sealedAt)), 0, false, "False/Unavailable", ""},
		"NoDigest":      {"a name is not a digest", sealedManifest(drifted(intruder), intruder, asking("v1")), 0, false, "False/InvalidAnnotation", "is \"v1\", which is not a digest. It can be one of: " + sealedAt + " (of " + repo + ":1.0.0)"},
		"Empty":         {"no value", sealedManifest(drifted(intruder), intruder, asking("")), 0, false, "False/InvalidAnnotation", "is \"\", which is not a digest"},
		"Intruder":      {"nobody sealed that", sealedManifest(drifted(intruder), intruder, asking(intruder)), 0, false, "False/InvalidAnnotation", "no artifact of this manifest was sealed at that. It can be one of: " + sealedAt},
		"NothingToDo":   {"and no tag has moved", sealedManifest(present(sealedAt), sealedAt, asking(intruder)), 0, false, "False/InvalidAnnotation", "remove the annotation: kubectl annotate am m nfo.dev/restore-digest-"},
		"Unsealed":      {"its tags may be overwritten", sealedManifest(present(sealedAt), intruder, unsealed, asking(sealedAt)), 0, false, "False/InvalidAnnotation", "not sealed"},
		"I9StoreScoped": {"its artifacts are never touched", sealedManifest(present(sealedAt), intruder, func(s *manifestSeen) { s.manifest.Spec.UploadPath = v1alpha1.StoreScoped }, asking(sealedAt)), 0, false, "False/InvalidAnnotation", "never touched"},
		"I9InertStore":  {"nothing is done in an inert store", sealedManifest(drifted(intruder), intruder, func(s *manifestSeen) { s.inert = &metav1.Condition{Reason: v1alpha1.ReasonPathConflict} }, asking(sealedAt)), 0, false, "False/StoreNotReady", ""},
		"Deleting":      {"it is released as it is", sealedManifest(drifted(intruder), intruder, func(s *manifestSeen) { s.manifest.DeletionTimestamp = new(metav1.Unix(1, 0)) }, asking(sealedAt)), 0, false, "/", ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := decideManifest(tc.seen)
			if len(v.reseat) != tc.reseat || v.answered != tc.answered {
				t.Errorf("%s: puts back %d and answered is %t, want %d and %t", tc.reason, len(v.reseat), v.answered, tc.reseat, tc.answered)
			}
			c := saidOf(v.conditions, v1alpha1.ConditionReady)
			if got := string(c.Status) + "/" + c.Reason; got != tc.ready {
				t.Errorf("%s: Ready is %s, want %s", tc.reason, got, tc.ready)
			}
			if !strings.Contains(c.Message, tc.says) {
				t.Errorf("%s: Ready does not say %q: %s", tc.reason, tc.says, c.Message)
			}
		})
	}
}

func TestAfterPutBack(t *testing.T) {
	t.Parallel()
	seen := sealedManifest(drifted(intruder), intruder, asking(sealedAt))
	unseen := sealedManifest(present(sealedAt), intruder, asking(sealedAt))
	back := reseat{listed: {reason: v1alpha1.ReasonRestored}}
	tests := map[string]struct {
		reason   string
		seen     manifestSeen
		done     manifestDone
		err      error
		entry    v1alpha1.ArtifactStatus
		answered bool
		ready    string
	}{
		"Restored":    {"all is as it was sealed", seen, manifestDone{recorded: true, reseat: back}, nil, present(sealedAt), true, "True/Ready"},
		"UndoLost":    {"the entry says so, and the order is done with", seen, manifestDone{recorded: true, reseat: reseat{listed: {reason: v1alpha1.ReasonUndoLost}}}, nil, unrecoverable(drifted(intruder)), true, "False/Tampered"},
		"Superseded":  {"looked at again: what is recorded is not forgotten, and the order stands", unseen, manifestDone{recorded: true}, reference.ErrSuperseded, drifted(intruder), false, "False/Tampered"},
		"Denied":      {"said, and tried again", seen, manifestDone{recorded: true}, registry.ErrDenied, drifted(intruder), false, "False/Denied"},
		"I4NotBuried": {"a drift that could not be recorded has not been seen", unseen, manifestDone{}, errors.New("down"), present(sealedAt), false, "False/Unknown"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := decideManifest(tc.seen).after(tc.seen, tc.done, tc.err)
			if diff := cmp.Diff([]v1alpha1.ArtifactStatus{tc.entry}, v.artifacts); diff != "" {
				t.Errorf("%s: artifacts -want +got\n%s", tc.reason, diff)
			}
			c := saidOf(v.conditions, v1alpha1.ConditionReady)
			if got := string(c.Status) + "/" + c.Reason; got != tc.ready || v.answered != tc.answered {
				t.Errorf("%s: Ready is %s and answered is %t, want %s and %t", tc.reason, got, v.answered, tc.ready, tc.answered)
			}
		})
	}
}

// Until the registry has been asked for all entries, Uploaded refers to the generation
// before the sealing, so that the next pass knows that the sealing is not settled.
func TestSealingLastsUntilTheRegistryWasAsked(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		reason string
		change func(*manifestSeen)
		err    error
		want   int64
	}{
		"Asked":     {"this pass has", func(*manifestSeen) {}, nil, 3},
		"Differs":   {"it found something else than was recorded", func(s *manifestSeen) { s.manifest.Status.Artifacts = []v1alpha1.ArtifactStatus{present(sealedAt)} }, nil, 2},
		"Later":     {"the store's budget makes it wait", unpolled, nil, 2},
		"Trouble":   {"not all of it could be seen", func(s *manifestSeen) { s.trouble = registry.ErrUnreadable }, nil, 2},
		"NotBuried": {"what was seen could not be recorded", func(*manifestSeen) {}, errors.New("down"), 2},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seen := sealedManifest(present(intruder), intruder, uploadedAsOf(2), tc.change)
			v := decideManifest(seen).after(seen, manifestDone{}, tc.err)
			got := seen.manifest.Generation
			if v.uploadedAsOf != nil {
				got = *v.uploadedAsOf
			}
			if got != tc.want {
				t.Errorf("%s: Uploaded is of generation %d, want %d", tc.reason, got, tc.want)
			}
		})
	}
}

package manifest

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/controller/pass/passtest"
	"github.com/nfo-operator/nfo/internal/inventory"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/release"
	"github.com/nfo-operator/nfo/internal/tombstone"
)

const repo = "acme/m/nginx"

var (
	location = v1alpha1.RegistryLocation{Host: "r", Prefix: "acme"}
	holders  = passtest.Holders()
	listed   = inventory.Entry{Name: "nginx", Version: "1.0.0"}
)

func present(digest string) v1alpha1.ArtifactStatus {
	return v1alpha1.ArtifactStatus{ArtifactName: "nginx", ArtifactVersion: "1.0.0", Repository: repo, Digest: digest, State: v1alpha1.ArtifactPresent}
}

func tagGone(digest string) v1alpha1.ArtifactStatus {
	a := present(digest)
	a.State = v1alpha1.ArtifactMissing
	return a
}

// observed returns an observation of a manifest with one artifact whose store is ready and whose registry was asked.
func observed(change func(*manifestSeen)) manifestSeen {
	m := &v1alpha1.ArtifactManifest{}
	m.Namespace, m.Name, m.UID, m.Generation = "ns", "m", "uid", 3
	m.Spec = v1alpha1.ArtifactManifestSpec{
		ArtifactStoreRef: v1alpha1.LocalReference{Name: "store"}, UploadPath: v1alpha1.ManifestScoped,
		Artifacts: []v1alpha1.ManifestArtifact{{ArtifactName: "nginx", ArtifactVersion: "1.0.0"}},
	}
	seen := manifestSeen{manifest: m, store: &v1alpha1.ArtifactStore{}, location: location, polled: true, tags: map[inventory.Entry]tagSeen{}}
	change(&seen)
	return seen
}

func deleting(change func(*manifestSeen)) manifestSeen {
	return observed(func(s *manifestSeen) {
		now := metav1.Unix(1000, 0)
		s.manifest.DeletionTimestamp, s.polled, s.tags = &now, false, nil
		s.manifest.Status.Artifacts = []v1alpha1.ArtifactStatus{present("sha256:a")}
		change(s)
	})
}

func grave(cause v1alpha1.Cause, state v1alpha1.TombstoneState, at int64) v1alpha1.Tombstone {
	when := metav1.Unix(at, 0)
	t := v1alpha1.Tombstone{Spec: v1alpha1.TombstoneSpec{
		Cause: cause, Manifest: v1alpha1.TombstoneManifest{Name: "m", UID: "uid"},
		Artifacts: []v1alpha1.TombstoneArtifact{{Repository: repo, Tag: "1.0.0", Digests: []string{"sha256:a"}}},
	}}
	t.Name = string(cause) + when.UTC().Format("150405")
	t.SetEntry(v1alpha1.TombstoneArtifactStatus{Repository: repo, Tag: "1.0.0", State: state, UntaggedAt: &when})
	return t
}

// outline is the part of a verdict that tests compare.
type outline struct {
	Artifacts   []v1alpha1.ArtifactStatus
	Overwritten int
	Restore     []string
	Release     v1alpha1.Cause
	LetGo       bool
	Poll        time.Duration
	Conditions  string // Type=Status/Reason, sorted
}

func outlineOf(v manifestVerdict) outline {
	o := outline{Artifacts: v.artifacts, Overwritten: len(v.overwritten), LetGo: v.letGo, Poll: v.poll}
	for _, r := range v.restore {
		o.Restore = append(o.Restore, r.tombstone.Name)
	}
	if v.release != nil {
		o.Release = v.release.Cause
	}
	o.Conditions = passtest.Outline(v.conditions)
	return o
}

func TestDecideManifest(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		reason string
		seen   manifestSeen
		want   outline
	}{
		"NotUploaded": {
			reason: "a listed tag that is not there",
			seen:   observed(func(s *manifestSeen) { s.tags[listed] = tagSeen{} }),
			want: outline{Artifacts: []v1alpha1.ArtifactStatus{tagGone("")}, Poll: pollMissing,
				Conditions: "Ready=False/Missing Referenced=False/Unreferenced Uploaded=False/Missing"},
		},
		"Uploaded": {
			reason: "all there",
			seen:   observed(func(s *manifestSeen) { s.tags[listed] = tagSeen{there: true, digest: "sha256:a"} }),
			want: outline{Artifacts: []v1alpha1.ArtifactStatus{present("sha256:a")}, Poll: pollComplete,
				Conditions: "Ready=True/Ready Referenced=False/Unreferenced Uploaded=True/Complete"},
		},
		"Sealed": {
			reason: "what is sealed and complete is polled daily",
			seen: observed(func(s *manifestSeen) {
				s.manifest.Spec.ArtifactManifestState = v1alpha1.ManifestUploaded
				s.manifest.Status.Artifacts = []v1alpha1.ArtifactStatus{present("sha256:a")}
				s.tags[listed] = tagSeen{there: true, digest: "sha256:a"}
			}),
			want: outline{Artifacts: []v1alpha1.ArtifactStatus{present("sha256:a")}, Poll: pollSealed,
				Conditions: "Ready=True/Ready Referenced=False/Unreferenced Uploaded=True/Complete"},
		},
		"SealedAtOnce": {
			reason: "one look alone does not settle what was sealed",
			seen: observed(func(s *manifestSeen) {
				s.manifest.Spec.ArtifactManifestState = v1alpha1.ManifestUploaded
				s.tags[listed] = tagSeen{there: true, digest: "sha256:a"}
			}),
			want: outline{Artifacts: []v1alpha1.ArtifactStatus{present("sha256:a")}, Poll: pollMissing,
				Conditions: "Ready=True/Ready Referenced=False/Unreferenced Uploaded=True/Complete"},
		},
		"I1VanishedTagKeepsItsDigest": {
			reason: "a tag that vanishes turns Uploaded back; its digest stays recorded, and so kept",
			seen: observed(func(s *manifestSeen) {
				s.manifest.Status.Artifacts = []v1alpha1.ArtifactStatus{present("sha256:a")}
				s.tags[listed] = tagSeen{}
			}),
			want: outline{Artifacts: []v1alpha1.ArtifactStatus{tagGone("sha256:a")}, Poll: pollMissing,
				Conditions: "Ready=False/Missing Referenced=False/Unreferenced Uploaded=False/Missing"},
		},
		"TagMoved": {
			reason: "a tag that was overwritten: the old digest gets a tombstone",
			seen: observed(func(s *manifestSeen) {
				s.manifest.Status.Artifacts = []v1alpha1.ArtifactStatus{present("sha256:a")}
				s.tags[listed] = tagSeen{there: true, digest: "sha256:b"}
			}),
			want: outline{Artifacts: []v1alpha1.ArtifactStatus{present("sha256:b")}, Overwritten: 1, Poll: pollComplete,
				Conditions: "Ready=True/Ready Referenced=False/Unreferenced Uploaded=True/Complete"},
		},
		"I2RegistryDown": {
			reason: "what could not be asked is unknown, and what was recorded stays",
			seen: observed(func(s *manifestSeen) {
				s.manifest.Status.Artifacts = []v1alpha1.ArtifactStatus{present("sha256:a")}
				s.trouble = registry.ErrUnavailable
			}),
			want: outline{Artifacts: []v1alpha1.ArtifactStatus{present("sha256:a")}, Poll: pollTrouble,
				Conditions: "Ready=False/Unavailable Referenced=False/Unreferenced Uploaded=Unknown/Unavailable"},
		},
		"I2RegistryDownBetweenPolls": {
			reason: "what the last poll could not see is not known before the next one",
			seen: observed(func(s *manifestSeen) {
				s.polled, s.tags, s.trouble = false, nil, registry.ErrUnreadable
				s.manifest.Status.Artifacts = []v1alpha1.ArtifactStatus{tagGone("")}
			}),
			want: outline{Artifacts: []v1alpha1.ArtifactStatus{tagGone("")}, Poll: pollTrouble,
				Conditions: "Ready=False/Unreadable Referenced=False/Unreferenced Uploaded=Unknown/Unreadable"},
		},
		"NotPolled": {
			reason: "between polls the recorded facts stand",
			seen: observed(func(s *manifestSeen) {
				s.polled, s.tags, s.holders = false, nil, holders
				s.manifest.Status.Artifacts = []v1alpha1.ArtifactStatus{present("sha256:a")}
			}),
			want: outline{Artifacts: []v1alpha1.ArtifactStatus{present("sha256:a")}, Poll: pollComplete,
				Conditions: "Ready=True/Ready Referenced=True/InUse Uploaded=True/Complete"},
		},
		"I5Restore": {
			reason: "a manifest applied again is restored from the newest release",
			seen: observed(func(s *manifestSeen) {
				s.tags[listed] = tagSeen{}
				s.tombstones = []v1alpha1.Tombstone{grave(v1alpha1.CauseReleased, v1alpha1.TombstoneUntagged, 10), grave(v1alpha1.CauseReleased, v1alpha1.TombstoneUntagged, 30), grave(v1alpha1.CauseRemoved, v1alpha1.TombstoneUntagged, 20)}
			}),
			want: outline{Artifacts: []v1alpha1.ArtifactStatus{tagGone("")}, Restore: []string{"Released000030"}, Poll: pollMissing,
				Conditions: "Ready=False/Restoring Referenced=False/Unreferenced Uploaded=False/Restoring"},
		},
		"StoreScopedIsNotRestored": {
			reason: "nothing is restored in the old form, so what is missing has to be pushed",
			seen: observed(func(s *manifestSeen) {
				s.manifest.Spec.UploadPath = v1alpha1.StoreScoped
				s.tags[listed] = tagSeen{}
				g := grave(v1alpha1.CauseReleased, v1alpha1.TombstoneUntagged, 10)
				g.Spec.Artifacts[0].Repository, g.Status.Artifacts[0].Repository = "acme/nginx", "acme/nginx"
				s.tombstones = []v1alpha1.Tombstone{g}
			}),
			want: outline{Artifacts: []v1alpha1.ArtifactStatus{{ArtifactName: "nginx", ArtifactVersion: "1.0.0", Repository: "acme/nginx", State: v1alpha1.ArtifactMissing}}, Poll: pollMissing,
				Conditions: "Ready=False/Missing Referenced=False/Unreferenced Uploaded=False/Missing"},
		},
		"RestoringBetweenPolls": {
			reason: "what was being restored is not missing before the registry was asked again",
			seen: observed(func(s *manifestSeen) {
				unpolled(s)
				s.manifest.Status.Artifacts = []v1alpha1.ArtifactStatus{tagGone("")}
				s.manifest.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionUploaded, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonRestoring}}
			}),
			want: outline{Artifacts: []v1alpha1.ArtifactStatus{tagGone("")}, Poll: pollMissing,
				Conditions: "Ready=False/Restoring Referenced=False/Unreferenced Uploaded=False/Restoring"},
		},
		"RestoringHasEnded": {
			reason: "what was asked for and is not there is missing, if there is nothing to restore it from",
			seen: observed(func(s *manifestSeen) {
				s.tags[listed] = tagSeen{}
				s.manifest.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionUploaded, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonRestoring}}
			}),
			want: outline{Artifacts: []v1alpha1.ArtifactStatus{tagGone("")}, Poll: pollMissing,
				Conditions: "Ready=False/Missing Referenced=False/Unreferenced Uploaded=False/Missing"},
		},
		"UndoLost": {
			reason: "a digest that the registry does not have is looked for, and has to be pushed",
			seen: observed(func(s *manifestSeen) {
				s.tags[listed] = tagSeen{}
				g := grave(v1alpha1.CauseReleased, v1alpha1.TombstoneUntagged, 10)
				g.Status.Artifacts[0].Reason = tombstone.DigestLost
				s.tombstones = []v1alpha1.Tombstone{g}
			}),
			want: outline{Artifacts: []v1alpha1.ArtifactStatus{tagGone("")}, Restore: []string{"Released000010"}, Poll: pollMissing,
				Conditions: "Ready=False/Missing Referenced=False/Unreferenced Uploaded=False/Missing"},
		},
		"I5NeverOverwritesATag": {
			reason: "a tag that is there is left alone, and the tombstone says that its undo was passed over",
			seen: observed(func(s *manifestSeen) {
				s.tags[listed] = tagSeen{there: true, digest: "sha256:b"}
				s.tombstones = []v1alpha1.Tombstone{grave(v1alpha1.CauseReleased, v1alpha1.TombstoneUntagged, 10)}
			}),
			want: outline{Artifacts: []v1alpha1.ArtifactStatus{present("sha256:b")}, Restore: []string{"Released000010"}, Poll: pollComplete,
				Conditions: "Ready=True/Ready Referenced=False/Unreferenced Uploaded=True/Complete"},
		},
		"I5ToldOnce": {
			reason: "an undo that was passed over is not asked for again",
			seen: observed(func(s *manifestSeen) {
				s.tags[listed] = tagSeen{there: true, digest: "sha256:b"}
				g := grave(v1alpha1.CauseReleased, v1alpha1.TombstoneUntagged, 10)
				g.Status.Artifacts[0].Reason = v1alpha1.ReasonTagTaken
				s.tombstones = []v1alpha1.Tombstone{g}
			}),
			want: outline{Artifacts: []v1alpha1.ArtifactStatus{present("sha256:b")}, Poll: pollComplete,
				Conditions: "Ready=True/Ready Referenced=False/Unreferenced Uploaded=True/Complete"},
		},
		"I5OldUndo": {
			reason: "what was pushed after a release, and has gone, is not answered with what was released before",
			seen: observed(func(s *manifestSeen) {
				s.manifest.Status.Artifacts = []v1alpha1.ArtifactStatus{present("sha256:b")}
				s.tags[listed] = tagSeen{}
				s.tombstones = []v1alpha1.Tombstone{grave(v1alpha1.CauseReleased, v1alpha1.TombstoneUntagged, 10)}
			}),
			want: outline{Artifacts: []v1alpha1.ArtifactStatus{tagGone("sha256:b")}, Poll: pollMissing,
				Conditions: "Ready=False/Missing Referenced=False/Unreferenced Uploaded=False/Missing"},
		},
		"I5InterruptedRestoreGoesOn": {
			reason: "the tag is back and the process died before the tombstone said so",
			seen: observed(func(s *manifestSeen) {
				s.tags[listed] = tagSeen{there: true, digest: "sha256:a"}
				s.tombstones = []v1alpha1.Tombstone{grave(v1alpha1.CauseReleased, v1alpha1.TombstoneRestoring, 10), grave(v1alpha1.CauseReleased, v1alpha1.TombstoneUntagged, 20)}
			}),
			want: outline{Artifacts: []v1alpha1.ArtifactStatus{present("sha256:a")}, Restore: []string{"Released000010"}, Poll: pollComplete,
				Conditions: "Ready=True/Ready Referenced=False/Unreferenced Uploaded=True/Complete"},
		},
		"I5ConsumedTombstoneIsCleared": {
			reason: "all is restored and the process died before the tombstone was deleted",
			seen: observed(func(s *manifestSeen) {
				s.tags[listed] = tagSeen{there: true, digest: "sha256:a"}
				s.tombstones = []v1alpha1.Tombstone{grave(v1alpha1.CauseReleased, v1alpha1.TombstoneRestored, 10)}
			}),
			want: outline{Artifacts: []v1alpha1.ArtifactStatus{present("sha256:a")}, Restore: []string{"Released000010"}, Poll: pollComplete,
				Conditions: "Ready=True/Ready Referenced=False/Unreferenced Uploaded=True/Complete"},
		},
		"I5TagThatStayedIsOursNoMore": {
			reason: "the registry removes no tags: the manifest is back before its tag went, and no purge may take it",
			seen: observed(func(s *manifestSeen) {
				s.tags[listed] = tagSeen{there: true, digest: "sha256:a"}
				g := grave(v1alpha1.CauseReleased, v1alpha1.TombstoneUntagged, 10)
				g.Status.Artifacts[0].Reason = release.TagStays
				s.tombstones = []v1alpha1.Tombstone{g}
			}),
			want: outline{Artifacts: []v1alpha1.ArtifactStatus{present("sha256:a")}, Restore: []string{"Released000010"}, Poll: pollComplete,
				Conditions: "Ready=True/Ready Referenced=False/Unreferenced Uploaded=True/Complete"},
		},
		"OverwrittenIsNotBroughtBack": {
			reason: "a digest that was overwritten is not an undo",
			seen: observed(func(s *manifestSeen) {
				s.tags[listed] = tagSeen{}
				s.tombstones = []v1alpha1.Tombstone{grave(v1alpha1.CauseOverwritten, v1alpha1.TombstoneUntagged, 10)}
			}),
			want: outline{Artifacts: []v1alpha1.ArtifactStatus{tagGone("")}, Poll: pollMissing,
				Conditions: "Ready=False/Missing Referenced=False/Unreferenced Uploaded=False/Missing"},
		},
		"RemovedEntry": {
			reason: "an entry that left the spec is released, and stays in the status until then",
			seen: observed(func(s *manifestSeen) {
				s.manifest.Spec.Artifacts = nil
				s.manifest.Status.Artifacts = []v1alpha1.ArtifactStatus{present("sha256:a")}
			}),
			want: outline{Artifacts: []v1alpha1.ArtifactStatus{present("sha256:a")}, Release: v1alpha1.CauseRemoved, Poll: pollComplete,
				Conditions: "Ready=True/Ready Referenced=False/Unreferenced Uploaded=True/Complete"},
		},
		"I1RemovedEntryIsKeptWhileHeld": {
			reason: "no tag of a manifest with a holder is removed",
			seen: observed(func(s *manifestSeen) {
				s.manifest.Spec.Artifacts, s.holders = nil, holders
				s.manifest.Status.Artifacts = []v1alpha1.ArtifactStatus{present("sha256:a")}
			}),
			want: outline{Artifacts: []v1alpha1.ArtifactStatus{present("sha256:a")}, Poll: pollComplete,
				Conditions: "Ready=False/EntryInUse Referenced=True/InUse Uploaded=True/Complete"},
		},
		"RemovedEntryNeverThere": {
			reason: "an entry that was never pushed has nothing to release",
			seen: observed(func(s *manifestSeen) {
				s.manifest.Spec.Artifacts = nil
				s.manifest.Status.Artifacts = []v1alpha1.ArtifactStatus{tagGone("")}
				s.tags[inventory.KeyOf(tagGone(""))] = tagSeen{}
			}),
			want: outline{Conditions: "Ready=True/Ready Referenced=False/Unreferenced Uploaded=True/Complete"},
		},
		"I4RemovedEntryNotAskedFor": {
			reason: "it may have been pushed since the last look: the release asks",
			seen: observed(func(s *manifestSeen) {
				s.manifest.Spec.Artifacts = nil
				s.manifest.Status.Artifacts = []v1alpha1.ArtifactStatus{tagGone("")}
			}),
			want: outline{Artifacts: []v1alpha1.ArtifactStatus{tagGone("")}, Release: v1alpha1.CauseRemoved, Poll: pollMissing,
				Conditions: "Ready=True/Ready Referenced=False/Unreferenced Uploaded=True/Complete"},
		},
		"I9RemovedEntryOfTheOldPath": {
			reason: "what lies at the store-scoped path is never touched",
			seen: observed(func(s *manifestSeen) {
				old := present("sha256:a")
				old.Repository = "acme/nginx"
				s.manifest.Status.Artifacts = []v1alpha1.ArtifactStatus{old}
				s.tags[listed] = tagSeen{}
			}),
			want: outline{Artifacts: []v1alpha1.ArtifactStatus{tagGone("")}, Poll: pollMissing,
				Conditions: "Ready=False/Missing Referenced=False/Unreferenced Uploaded=False/Missing"},
		},
		"NoStore": {
			reason: "an unknown store",
			seen:   observed(func(s *manifestSeen) { s.store = nil }),
			want:   outline{Conditions: "Ready=False/StoreNotFound Referenced=False/Unreferenced Uploaded=Unknown/StoreNotFound"},
		},
		"I9InertStore": {
			reason: "nothing is observed, restored or released in an inert store",
			seen: observed(func(s *manifestSeen) {
				s.inert = &metav1.Condition{Reason: v1alpha1.ReasonPathConflict}
				s.manifest.Spec.Artifacts = nil
				s.manifest.Status.Artifacts = []v1alpha1.ArtifactStatus{present("sha256:a")}
			}),
			want: outline{Artifacts: []v1alpha1.ArtifactStatus{present("sha256:a")}, Conditions: "Ready=False/StoreNotReady Referenced=False/Unreferenced Uploaded=Unknown/StoreNotReady"},
		},
		"I10Blocked": {
			reason: "while held nothing is done, nothing is polled and no requeue is asked for",
			seen:   deleting(func(s *manifestSeen) { s.holders = holders }),
			want: outline{Artifacts: []v1alpha1.ArtifactStatus{present("sha256:a")},
				Conditions: "DeletionBlocked=True/InUse Ready=False/Deleting Referenced=True/InUse"},
		},
		"I3InterruptedReleaseIsUndone": {
			reason: "a holder appeared and the process died before the tags were back",
			seen: deleting(func(s *manifestSeen) {
				s.holders = holders
				s.tombstones = []v1alpha1.Tombstone{grave(v1alpha1.CauseReleased, v1alpha1.TombstoneUntagged, 10), grave(v1alpha1.CauseOverwritten, v1alpha1.TombstoneUntagged, 20)}
			}),
			want: outline{Artifacts: []v1alpha1.ArtifactStatus{present("sha256:a")}, Restore: []string{"Released000010"},
				Conditions: "DeletionBlocked=True/InUse Ready=False/Deleting Referenced=True/InUse"},
		},
		"I12OrphanIsStillHeld": {
			reason: "the way out does not lead past a holder",
			seen: deleting(func(s *manifestSeen) {
				s.holders = holders
				s.manifest.Annotations = map[string]string{v1alpha1.AnnotationOnDelete: v1alpha1.OnDeleteOrphan}
			}),
			want: outline{Artifacts: []v1alpha1.ArtifactStatus{present("sha256:a")},
				Conditions: "DeletionBlocked=True/InUse Ready=False/Deleting Referenced=True/InUse"},
		},
		"Free": {
			reason: "what nothing holds is released",
			seen:   deleting(func(*manifestSeen) {}),
			want:   outline{Artifacts: []v1alpha1.ArtifactStatus{present("sha256:a")}, Release: v1alpha1.CauseReleased, Conditions: "Referenced=False/Unreferenced"},
		},
		"StoreScoped": {
			reason: "the old form goes at once and touches nothing, held or not",
			seen: deleting(func(s *manifestSeen) {
				s.holders, s.manifest.Spec.UploadPath = holders, v1alpha1.StoreScoped
			}),
			want: outline{Artifacts: []v1alpha1.ArtifactStatus{present("sha256:a")}, LetGo: true,
				Conditions: "DeletionBlocked=False/Released Untagged=False/NotTouched"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tc.want, outlineOf(decideManifest(tc.seen))); diff != "" {
				t.Errorf("%s\ndecideManifest: -want +got\n%s", tc.reason, diff)
			}
		})
	}
}

func TestAfterManifest(t *testing.T) {
	t.Parallel()
	gone := present("sha256:a")
	gone.State = v1alpha1.ArtifactUntagged
	removed := observed(func(s *manifestSeen) {
		s.manifest.Spec.Artifacts = nil
		s.manifest.Status.Artifacts = []v1alpha1.ArtifactStatus{present("sha256:a")}
	})
	moved := observed(func(s *manifestSeen) {
		s.manifest.Status.Artifacts = []v1alpha1.ArtifactStatus{present("sha256:a")}
		s.tags[listed] = tagSeen{there: true, digest: "sha256:b"}
	})
	free := deleting(func(*manifestSeen) {})
	tests := map[string]struct {
		reason    string
		seen      manifestSeen
		done      manifestDone
		err       error
		letGo     bool
		artifacts []v1alpha1.ArtifactStatus
		ready     string
	}{
		"Released":    {"all tags are removed", free, manifestDone{release: release.Released{Tombstones: []string{"t"}}}, nil, true, []v1alpha1.ArtifactStatus{gone}, "Deleting"},
		"Untouched":   {"an orphan goes", free, manifestDone{release: release.Released{Untouched: "why"}}, nil, true, []v1alpha1.ArtifactStatus{present("sha256:a")}, ""},
		"I3Late":      {"a holder appeared during the release", free, manifestDone{release: release.Released{Holders: holders}}, nil, false, []v1alpha1.ArtifactStatus{present("sha256:a")}, "Deleting"},
		"I2Failed":    {"a failed release lets nothing go", free, manifestDone{}, registry.ErrUnavailable, false, []v1alpha1.ArtifactStatus{present("sha256:a")}, "Deleting"},
		"Removed":     {"a released entry leaves the status", removed, manifestDone{release: release.Released{Tombstones: []string{"t"}}}, nil, false, []v1alpha1.ArtifactStatus{}, "Ready"},
		"RemovedLate": {"a holder appeared: the entry stays", removed, manifestDone{release: release.Released{Holders: holders}}, nil, false, []v1alpha1.ArtifactStatus{present("sha256:a")}, "EntryInUse"},
		"I4NotBuried": {"a digest that could not be recorded is not forgotten", moved, manifestDone{}, errors.New("down"), false, []v1alpha1.ArtifactStatus{present("sha256:a")}, "Unknown"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := decideManifest(tc.seen).after(tc.seen, tc.done, tc.err)
			if v.letGo != tc.letGo {
				t.Errorf("%s: letGo = %t", tc.reason, v.letGo)
			}
			if diff := cmp.Diff(tc.artifacts, v.artifacts); diff != "" {
				t.Errorf("%s: artifacts -want +got\n%s", tc.reason, diff)
			}
			var cs []metav1.Condition
			v.conditions.Apply(&cs, 1)
			reason := ""
			if c := apimeta.FindStatusCondition(cs, v1alpha1.ConditionReady); c != nil {
				reason = c.Reason
			}
			if reason != tc.ready {
				t.Errorf("%s: Ready's reason = %q, want %q", tc.reason, reason, tc.ready)
			}
		})
	}
}

package version

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/controller/pass"
	"github.com/nfo-operator/nfo/internal/controller/pass/passtest"
	"github.com/nfo-operator/nfo/internal/reference"
)

func state(m *v1alpha1.ArtifactManifest, s v1alpha1.ArtifactState) *v1alpha1.ArtifactManifest {
	m.Status.Artifacts[0].State = s
	return m
}

func TestDecideVersion(t *testing.T) {
	t.Parallel()
	manifest := reference.Object{Kind: v1alpha1.KindArtifactManifest, Namespace: "ns", Name: "m"}
	second := reference.Object{Kind: v1alpha1.KindArtifactManifest, Namespace: "ns", Name: "m2"}
	store := reference.Object{Kind: v1alpha1.KindArtifactStore, Namespace: "ns", Name: "acme"}
	there := target{found: true, manifest: lists("m", "a:1")}
	names := func(targets map[reference.Object]target) versionSeen {
		seen := versionSeen{self: reference.Object{Kind: v1alpha1.KindDefinition, Namespace: "ns", Name: "v"}, targets: targets}
		for _, o := range []reference.Object{manifest, second, store} {
			if _, ok := targets[o]; ok {
				seen.named = append(seen.named, reference.Reference{To: o, Artifact: "a", Version: "1"})
			}
		}
		return seen
	}
	inStore := func(seen versionSeen) versionSeen {
		seen.alternatives = map[reference.Reference][]*v1alpha1.ArtifactManifest{seen.named[len(seen.named)-1]: {lists("m", "a:1")}}
		return seen
	}
	deleted := func(cached, live []reference.Holder) versionSeen {
		return versionSeen{deleting: true, holders: cached, late: live}
	}
	tests := map[string]struct {
		reason     string
		seen       versionSeen
		letGo      bool
		again      time.Duration // 0 if an event wakes it (I10)
		conditions string
	}{
		"Resolved":    {"all that is named is there", names(map[reference.Object]target{manifest: there}), false, 0, "Ready=True/Ready Referenced=False/Unreferenced Resolved=True/Resolved"},
		"NotFound":    {"one that is not there is enough", names(map[reference.Object]target{manifest: there, second: {}}), false, 0, "Ready=False/NotFound Referenced=False/Unreferenced Resolved=False/NotFound"},
		"I3Deleting":  {"nobody is admitted to what is being deleted", names(map[reference.Object]target{manifest: {found: true, terminating: true}}), false, 0, "Ready=False/Terminating Referenced=False/Unreferenced Resolved=False/Terminating"},
		"StoreScoped": {"a manifest that is still in the old form", names(map[reference.Object]target{manifest: {found: true, storeScoped: true}}), false, 0, "Ready=False/StoreScoped Referenced=False/Unreferenced Resolved=False/StoreScoped"},
		"NotListed":   {"the manifest does not list the artifact", names(map[reference.Object]target{manifest: {found: true, manifest: lists("m", "b:1")}}), false, 0, "Ready=False/NotListed Referenced=False/Unreferenced Resolved=False/NotListed"},
		"Unlisted":    {"nor in that version", names(map[reference.Object]target{manifest: {found: true, manifest: lists("m", "a:2")}}), false, 0, "Ready=False/NotListed Referenced=False/Unreferenced Resolved=False/NotListed"},
		"NotPushed":   {"it is held, and not there yet", names(map[reference.Object]target{manifest: {found: true, manifest: state(lists("m", "a:1"), v1alpha1.ArtifactMissing)}}), false, 0, "Ready=False/Missing Referenced=False/Unreferenced Resolved=True/Resolved"},
		"Tampered":    {"it is held, and its tag has been overwritten", names(map[reference.Object]target{manifest: {found: true, manifest: state(lists("m", "a:1"), v1alpha1.ArtifactMoved)}}), false, 0, "Ready=False/Tampered Referenced=False/Unreferenced Resolved=True/Resolved"},
		"OldUnlisted": {"no manifest of the store lists it, so that nothing is held", names(map[reference.Object]target{store: {found: true}}), false, 0, "Ready=False/NotListed Referenced=False/Unreferenced Resolved=False/NotListed"},
		"OldForm":     {"a reference to a store", inStore(names(map[reference.Object]target{store: {found: true}})), false, 0, "Ready=True/StoreReference Referenced=False/Unreferenced Resolved=True/StoreReference"},
		"Worst":       {"what is missing says more than the old form", names(map[reference.Object]target{store: there, manifest: {}}), false, 0, "Ready=False/NotFound Referenced=False/Unreferenced Resolved=False/NotFound"},
		"Held":        {"a version that is held stays", deleted(passtest.Holders(), nil), false, 0, "DeletionBlocked=True/InUse Ready=False/Deleting Referenced=True/InUse"},
		"I3HeldLive":  {"the cache knows no holder and the API server does", deleted(nil, passtest.Holders()), false, 0, "DeletionBlocked=True/InUse Ready=False/Deleting Referenced=True/InUse"},
		"I2Doubt":     {"it is unknown what holds it", versionSeen{deleting: true, doubt: reference.ErrHoldersUnknown}, false, pass.StuckRetry, "DeletionBlocked=True/HoldersUnknown Ready=False/Deleting Referenced=Unknown/HoldersUnknown"},
		"Free":        {"a version that nothing holds goes", deleted(nil, nil), true, 0, "DeletionBlocked=False/Released Ready=False/Deleting Referenced=False/Unreferenced"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := decideVersion(tc.seen)
			if v.letGo != tc.letGo || v.again != tc.again {
				t.Errorf("%s: letGo = %t, again after %s", tc.reason, v.letGo, v.again)
			}
			if diff := cmp.Diff(tc.conditions, passtest.Outline(v.conditions)); diff != "" {
				t.Errorf("%s: -want +got\n%s", tc.reason, diff)
			}
		})
	}
}

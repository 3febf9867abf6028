package why

import (
	"bytes"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/plugin/plugintest"
)

// TestAReleaseAgreesWithWhatKeepsIt checks that a digest which purges keep is not announced for deletion by the next purge.
func TestAReleaseAgreesWithWhatKeepsIt(t *testing.T) {
	t.Parallel()
	const purges, keeps = "the next purge deletes it", "keeps it from a purge"
	stores := []v1alpha1.ArtifactStore{store()}
	over := func(edit ...func(*v1alpha1.Tombstone)) []v1alpha1.Tombstone {
		return []v1alpha1.Tombstone{tombstone("m-1", "m", v1alpha1.TombstoneUntagged, append(edit, func(t *v1alpha1.Tombstone) {
			e := t.Entry("acme/m/upf", "1")
			e.UntaggedAt = &metav1.Time{Time: now.AddDate(0, 0, -7)}
			t.SetEntry(e)
		})...)}
	}
	overwritten := func(t *v1alpha1.Tombstone) { t.Spec.Cause = v1alpha1.CauseOverwritten }
	undo := func(digest string) string { return ":nfo-undo-" + strings.TrimPrefix(digest, "sha256:")[:12] }
	for name, tc := range map[string]struct {
		reason, image string
		seen          *evidence
		kept          bool
		says          string
	}{
		"Nobody": {"nothing keeps it", "@" + plugintest.One, seen(stores, over()), false, purges},
		"Listed": {"its tag is listed again", "@" + plugintest.One, seen(stores, over(), plugintest.Manifest("m")), true, "artifactmanifests/p/m lists 1"},
		"OtherTag": {"another tag of a manifest is at it", "@" + plugintest.One, seen(stores, over(), plugintest.Manifest("m", func(m *v1alpha1.ArtifactManifest) {
			m.Spec.Artifacts[0].ArtifactVersion, m.Status.Artifacts[0].ArtifactVersion = "2", "2"
		})), true, "artifactmanifests/p/m lists upf:2, Present " + plugintest.One},
		"Overwritten": {"what the listed tag was at before is not kept by it", "@" + plugintest.Two, seen(stores, over(overwritten), plugintest.Manifest("m")), false, "of " + plugintest.Two + ", which the tag was at before it was overwritten: its grace ended"},
		"PushedBack":  {"what was overwritten is there again", "@" + plugintest.One, seen(stores, over(overwritten), plugintest.Manifest("m")), true, "lists upf:1"},
		"Deployed":    {"a definition deploys it", "@" + plugintest.One, seen(stores, over(), deploying(plugintest.Definition("d", "m2"), ""), deployingAlone()), true, "networkfunctiondefinitionversions/p/d2 deploys it as on-other"},
		"Other":       {"a definition deploys the other one of its digests", "@" + plugintest.Two, seen(stores, over(), deployingAlone()), false, purges},
		"UndoTag":     {"the tag for the purge says which one", undo(plugintest.Two), seen(stores, over(), deployingAlone()), false, purges},
		"Tag":         {"of a tag, the one that would come back", ":1", seen(stores, over(), deployingAlone()), true, "deploys it as on-other"},
		"ByStore":     {"a definition names it by its store", ":1", seen(stores, over(), plugintest.Definition("d", "acme")), true, "networkfunctiondefinitionversions/p/d names artifact upf by its store"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i, err := parseImage("r.example.com/acme/m/upf" + tc.image)
			if err != nil {
				t.Fatal(err)
			}
			a := tc.seen.aboutImage(i, &stores[0])
			var b bytes.Buffer
			if err := a.write(&b); err != nil || len(a.Released) != 1 {
				t.Fatalf("%s: %+v, error %v", tc.reason, a, err)
			}
			said := b.String()
			if strings.Contains(said, keeps) != tc.kept || strings.Contains(said, purges) == tc.kept || (a.Released[0].KeptBy != "") != tc.kept || !strings.Contains(said, tc.says) {
				t.Errorf("%s: kept should be %t, and %q be said:\n%s", tc.reason, tc.kept, tc.says, said)
			}
			if strings.Contains(said, "no purge deletes it") && strings.Contains(said, purges) {
				t.Errorf("%s: it contradicts itself:\n%s", tc.reason, said)
			}
		})
	}
}

// deployingAlone is a definition that has a digest of the repository in its status only: it references another manifest.
func deployingAlone() *v1alpha1.NetworkFunctionDefinitionVersion {
	d := deploying(plugintest.Definition("d2", "other"), plugintest.One)
	d.Status.Applications[0].Repository = "acme/m/upf"
	return d
}

package publish

import (
	"context"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry"
)

// The JSON message has what the table says beyond the result.
func TestMessages(t *testing.T) {
	t.Parallel()
	signature, old := digest.FromString("signature"), digest.FromString("old")
	signed := func(over ...digest.Digest) (all []satellite) {
		for _, d := range over {
			all = append(all, satellite{over: d})
		}
		return all
	}
	for name, tc := range map[string]struct {
		reason        string
		item          item
		says, message string
	}{
		"Pushed":      {"nothing more is to be known", item{result: resultPushed, satellites: signed("")}, "pushed, with 1 signature or other satellite", ""},
		"Unverified":  {"there was no time for it", item{result: resultPushed, unverified: true}, "pushed, not verified", "pushed, not verified"},
		"Untagged":    {"its tag is elsewhere", item{result: resultPushed, untagged: true, recorded: old}, "pushed without its tag, which comes back with the annotation nfo.dev/restore-digest=" + old.String(), "pushed without its tag"},
		"Overwritten": {"another signature was there", item{result: resultPresent, satellites: signed("", signature)}, "over the signature " + signature.String(), "over the signature " + signature.String()},
		"Both":        {"and another SBOM", item{result: resultPushed, satellites: signed(signature, old)}, "over the signatures " + signature.String() + ", " + old.String(), "over the signatures"},
	} {
		i := tc.item
		i.source = &registry.Source{Root: registry.Manifest{Descriptor: ocispec.Descriptor{Digest: old}}}
		for n := range i.satellites {
			i.satellites[n].Source = &registry.Source{}
		}
		p := &publication{target: &target{manifest: &v1alpha1.ArtifactManifest{}}, items: []*item{&i}}
		r := p.rows()[0]
		if !strings.Contains(r.says, tc.says) || !strings.Contains(r.Message, tc.message) || tc.message == "" && r.Message != "" {
			t.Errorf("%s: %s: it says %q, and the message is %q; want %q and %q", name, tc.reason, r.says, r.Message, tc.says, tc.message)
		}
	}
}

// The signatures of a sealed manifest are never replaced; those of others are replaced only with --overwrite.
func TestAttachable(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason            string
		over              digest.Digest
		sealed, overwrite bool
		says              string
	}{
		"New":             {"nothing is at its tag", "", false, false, ""},
		"NewSealed":       {"a sealed one can be signed", "", true, false, ""},
		"Other":           {"it would be lost", "sha256:0", false, false, "--overwrite replaces it, and nothing keeps"},
		"Overwrite":       {"it is meant", "sha256:0", false, true, ""},
		"Sealed":          {"sealed stays sealed", "sha256:0", true, false, "the manifest is sealed"},
		"SealedOverwrite": {"whatever is asked for", "sha256:0", true, true, "the manifest is sealed"},
	} {
		i := &item{candidate: &candidate{}, satellites: []satellite{{over: tc.over}}}
		if err := i.attachable(tc.sealed, tc.overwrite); (err == nil) != (tc.says == "") || err != nil && !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %s: %v, want %q", name, tc.reason, err, tc.says)
		}
	}
}

// A pushed artifact that was not verified does not count as done.
func TestAnInterruptionIsAFailure(t *testing.T) {
	t.Parallel()
	interrupted, interrupt := context.WithCancel(t.Context())
	interrupt()
	pushed := func(unverified bool) *item {
		return &item{source: &registry.Source{}, result: resultPushed, unverified: unverified}
	}
	for name, tc := range map[string]struct {
		reason string
		ctx    context.Context
		items  []*item
		says   string
	}{
		"Done":       {"all is there", t.Context(), []*item{pushed(false)}, ""},
		"Late":       {"it came when all was done", interrupted, []*item{pushed(false)}, ""},
		"Unverified": {"nobody knows that it is whole", interrupted, []*item{pushed(false), pushed(true)}, "interrupted: 1 of 2 artifacts are done, and 1 pushed but not verified; the same command goes on"},
	} {
		err := (&publication{target: &target{}, items: tc.items}).outcome(tc.ctx)
		if (err == nil) != (tc.says == "") || err != nil && err.Error() != tc.says {
			t.Errorf("%s: %s: %v, want %q", name, tc.reason, err, tc.says)
		}
	}
}

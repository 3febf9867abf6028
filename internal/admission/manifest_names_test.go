package admission

import (
	"strings"
	"testing"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/inventory"
	"github.com/nfo-operator/nfo/internal/reference"
)

func TestTooLong(t *testing.T) {
	t.Parallel()
	l := v1alpha1.RegistryLocation{Host: "registry.example.com", Prefix: "acme"}
	longest := strings.Repeat("n", v1alpha1.MaxRepositoryName-len("acme/m/"))
	for name, tc := range map[string]struct {
		reason  string
		was, is *v1alpha1.ArtifactManifest
		want    []string
	}{
		"Longest": {"registries take it", nil, manifest("m", longest+":1"), nil},
		"Longer":  {"one character too many", nil, manifest("m", "a:1", longest+"n:1"), []string{"spec.artifacts[1].artifactName: with the store's prefix its repository is acme/m/" + longest + "n, of 256 characters, and registries take at most 255; use a shorter name"}},
		"Known":   {"what was there before is not refused", manifest("m", longest+"n:1"), manifest("m", longest+"n:1", "a:1"), nil},
		"Scoped":  {"without the manifest's name it fits", nil, storeScoped(manifest("m", longest+"nn:1")), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			matches(t, tc.reason, tc.want, outline(tooLong(l, tc.was, tc.is)))
		})
	}
}

// left adds an entry to a manifest's status that is not in its spec any more.
func left(m *v1alpha1.ArtifactManifest, repository, tag string) *v1alpha1.ArtifactManifest {
	m.Status.Artifacts = append(m.Status.Artifacts, v1alpha1.ArtifactStatus{ArtifactName: inventory.LastSegment(repository), ArtifactVersion: tag, Repository: repository})
	return m
}

func TestI1ListedBeside(t *testing.T) {
	t.Parallel()
	store := func(ns, url string) *v1alpha1.ArtifactStore {
		s := &v1alpha1.ArtifactStore{}
		s.Namespace, s.Name, s.Spec.Registry.URL = ns, "acme", url
		return s
	}
	in := func(ns string, m *v1alpha1.ArtifactManifest) v1alpha1.ArtifactManifest {
		m.Namespace, m.Spec.ArtifactStoreRef.Name = ns, "acme"
		return *m
	}
	mine := reference.Listed{}
	mine.Add(store("old", "https://registry.example.com/acme"), []v1alpha1.ArtifactManifest{in("old", manifest("m", "a:1", "b:1"))})
	for name, tc := range map[string]struct {
		reason, url string
		other       *v1alpha1.ArtifactManifest
		want        int
	}{
		"Same":     {"two tags are listed by both", "https://registry.example.com/acme", manifest("m", "a:1", "b:1", "c:1"), 2},
		"Version":  {"another tag", "https://registry.example.com/acme", manifest("m", "a:2"), 0},
		"Manifest": {"another path", "https://registry.example.com/acme", manifest("m2", "a:1"), 0},
		"Left":     {"a tag that has not been released yet", "https://registry.example.com/acme", left(manifest("m", "b:1"), "acme/m/a", "1"), 2},
		"Above":    {"the other store's prefix is shorter", "https://registry.example.com", storeScoped(manifest("x", "acme/m/a:1")), 1},
		"Invalid":  {"a URL that leads nowhere", "nowhere", manifest("m", "a:1"), 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			theirs := reference.Listed{}
			theirs.Add(store("new", tc.url), []v1alpha1.ArtifactManifest{in("new", tc.other), in("elsewhere", manifest("m", "a:1"))})
			ws := listedBeside(mine, theirs)
			if tc.want == 0 && len(ws) == 0 {
				return
			}
			if len(ws) != 1 || !strings.Contains(ws[0], "artifactmanifests/new/"+tc.other.Name+" lists "+string(rune('0'+tc.want))+" of the same tags") {
				t.Errorf("%s: %q", tc.reason, ws)
			}
		})
	}
}

package admission

import (
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

func TestSealErrors(t *testing.T) {
	t.Parallel()
	both := []string{"a:1=Present", "b:1=Present"}
	var many []string
	for range 12 {
		many = append(many, string(rune('a'+len(many)))+":1")
	}
	for name, tc := range map[string]struct {
		reason  string
		was, is *v1alpha1.ArtifactManifest
		want    []string
	}{
		"Complete":  {"everything is seen", shows(manifest("m", "a:1", "b:1"), both...), sealed(manifest("m", "a:1", "b:1")), nil},
		"Missing":   {"b is not there", shows(manifest("m", "a:1", "b:1"), "a:1=Present", "b:1=Missing"), sealed(manifest("m", "a:1", "b:1")), []string{"spec.artifactManifestState: a manifest is sealed when all its artifacts are seen in the registry, and these are not: b:1; leave it Uploading"}},
		"Untagged":  {"b was released", shows(manifest("m", "a:1"), "a:1=Present", "b:1=Untagged"), sealed(manifest("m", "a:1", "b:1")), []string{"spec.artifactManifestState: a manifest is sealed when all its artifacts are seen in the registry, and these are not: b:1;"}},
		"NewEntry":  {"added in the same request", shows(manifest("m", "a:1"), "a:1=Present"), sealed(manifest("m", "a:1", "b:1")), []string{"spec.artifactManifestState: a manifest is sealed when all its artifacts are seen in the registry, and these are not: b:1;"}},
		"Version":   {"the name alone is not the artifact", shows(manifest("m", "a:1"), "a:1=Present"), sealed(manifest("m", "a:2")), []string{"spec.artifactManifestState: a manifest is sealed when all its artifacts are seen in the registry, and these are not: a:2;"}},
		"Unseen":    {"no status yet", manifest("m", "a:1"), sealed(manifest("m", "a:1")), []string{"spec.artifactManifestState: "}},
		"Many":      {"the first ten", manifest("m", many...), sealed(manifest("m", many...)), []string{"spec.artifactManifestState: a manifest is sealed when all its artifacts are seen in the registry, and these are not: a:1, b:1, c:1, d:1, e:1, f:1, g:1, h:1, i:1, j:1 and 2 more;"}},
		"Dropped":   {"what leaves the list need not be there", shows(manifest("m", "a:1", "b:1"), "a:1=Present", "b:1=Missing"), sealed(manifest("m", "a:1")), nil},
		"Empty":     {"nothing to be missing", manifest("m"), sealed(manifest("m")), nil},
		"Created":   {"restoring applies the same YAML", nil, sealed(manifest("m", "a:1")), nil},
		"Sealed":    {"it was sealed, and a tag has vanished since", shows(sealed(manifest("m", "a:1")), "a:1=Missing"), sealed(manifest("m", "a:1")), nil},
		"Uploading": {"not sealed", manifest("m", "a:1"), manifest("m", "a:1", "b:1"), nil},
		"Upgrade":   {"nothing is at the manifest's path yet", shows(storeScoped(sealed(manifest("m", "a:1"))), "a:1=Present"), sealed(manifest("m", "a:1")), []string{"spec.artifactManifestState: "}},
		"Upgraded":  {"back to Uploading", shows(storeScoped(sealed(manifest("m", "a:1"))), "a:1=Present"), manifest("m", "a:1"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			matches(t, tc.reason, tc.want, outline(sealErrors(tc.was, tc.is)))
		})
	}
}

func TestPathErrors(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason         string
		was, is, other *v1alpha1.ArtifactManifest
		want           []string
	}{
		"Below":      {"inside the other's path", nil, storeScoped(manifest("old", "free:1", "web/nginx:1")), manifest("web", "nginx:1"), []string{"spec.artifacts[1].artifactName: its first segment is the path of the ManifestScoped artifactmanifests/publisher/web; list it there"}},
		"At":         {"the other's path itself", nil, storeScoped(manifest("old", "web:1")), manifest("web", "nginx:1"), []string{"spec.artifacts[0].artifactName: "}},
		"Similar":    {"segments compare whole", nil, storeScoped(manifest("old", "web2/nginx:1")), manifest("web", "nginx:1"), nil},
		"BothOld":    {"store-scoped manifests share paths", nil, storeScoped(manifest("old", "web/nginx:1")), storeScoped(manifest("web", "nginx:1")), nil},
		"Around":     {"and the other way round", nil, manifest("web", "nginx:1"), storeScoped(manifest("old", "web/nginx:1")), []string{"metadata.name: it is where the StoreScoped artifactmanifests/publisher/old has its artifact web/nginx; choose another name"}},
		"BothNew":    {"paths of names are disjoint", nil, manifest("web", "nginx:1"), manifest("web2", "nginx:1"), nil},
		"Known":      {"what was there before is not refused", storeScoped(manifest("old", "web/nginx:1")), storeScoped(manifest("old", "web/nginx:2", "b:1")), manifest("web"), nil},
		"Added":      {"what is new is", storeScoped(manifest("old", "b:1")), storeScoped(manifest("old", "b:1", "web/nginx:1")), manifest("web"), []string{"spec.artifacts[1].artifactName: "}},
		"Changed":    {"a manifest that was there before", manifest("web", "a:1"), manifest("web", "a:1", "b:1"), storeScoped(manifest("old", "web/nginx:1")), nil},
		"Upgraded":   {"it comes to the path now", storeScoped(manifest("web", "a:1")), manifest("web", "a:1"), storeScoped(manifest("old", "web/nginx:1")), []string{"metadata.name: "}},
		"UpgradedUp": {"it leaves the other's path", storeScoped(manifest("old", "web/nginx:1")), manifest("old", "nginx:1"), manifest("web"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			matches(t, tc.reason, tc.want, outline(pathErrors(tc.was, tc.is, tc.other)))
		})
	}
}

func TestManifestWebhook(t *testing.T) {
	t.Parallel()
	other := manifest("web", "nginx:1")
	elsewhere := manifest("web", "nginx:1")
	elsewhere.Spec.ArtifactStoreRef.Name = "other"
	orphan := func(m *v1alpha1.ArtifactManifest) *v1alpha1.ArtifactManifest {
		m.Annotations = map[string]string{v1alpha1.AnnotationOnDelete: v1alpha1.OnDeleteOrphan}
		return m
	}
	orphans := &v1alpha1.ArtifactStore{}
	orphans.Namespace, orphans.Name, orphans.Annotations = "publisher", manifest("m").Spec.ArtifactStoreRef.Name, orphan(manifest("m")).Annotations
	stays := "This ArtifactManifest is being deleted. Its artifacts and tags stay in the registry, because "
	restorable := "This ArtifactManifest is being deleted. Once it is gone, apply it again to restore it"
	for name, tc := range map[string]struct {
		reason       string
		was, is      *v1alpha1.ArtifactManifest
		cached, live []client.Object
		wrong        []string
		warnings     []string
	}{
		"Good":             {reason: "an ordinary manifest", is: manifest("m", "a:1"), cached: []client.Object{other}},
		"SealedFirst":      {reason: "a restore", is: sealed(manifest("m", "a:1")), warnings: []string{"spec.artifactManifestState is Uploaded from the start"}},
		"Path":             {reason: "the other manifest is there", is: storeScoped(manifest("old", "web/nginx:1")), cached: []client.Object{other}, live: []client.Object{other}, wrong: []string{"spec.artifacts[0].artifactName: "}},
		"I3PathGone":       {reason: "the cache lags behind", is: storeScoped(manifest("old", "web/nginx:1")), cached: []client.Object{other}},
		"OtherStore":       {reason: "another store is another place", is: storeScoped(manifest("old", "web/nginx:1")), cached: []client.Object{elsewhere}, live: []client.Object{elsewhere}},
		"Missing":          {reason: "sealing too early", was: manifest("m", "a:1"), is: sealed(manifest("m", "a:1")), wrong: []string{"spec.artifactManifestState: "}},
		"Both":             {reason: "all at once", was: storeScoped(manifest("old", "a:1")), is: sealed(storeScoped(manifest("old", "web/a:1"))), cached: []client.Object{other}, live: []client.Object{other}, wrong: []string{"spec.artifactManifestState: ", "spec.artifacts[0].artifactName: "}},
		"Going":            {reason: "anyone who applies it now wants it back", was: going(manifest("m", "a:1")), is: going(sealed(manifest("m", "a:1"))), warnings: []string{restorable}},
		"GoingOrphan":      {reason: "nothing is released, and so nothing restored", was: going(manifest("m", "a:1")), is: going(orphan(manifest("m", "a:1"))), warnings: []string{stays + "it has the annotation nfo.dev/on-delete=Orphan: there is nothing to restore."}},
		"GoingOrphanStore": {reason: "the store's annotation counts too", was: going(manifest("m", "a:1")), is: going(manifest("m", "a:1")), cached: []client.Object{orphans}, warnings: []string{stays + "its store has"}},
		"GoingStoreScoped": {reason: "nor of the old form", was: going(storeScoped(manifest("m", "a:1"))), is: going(storeScoped(manifest("m", "a:1"))), warnings: []string{stays + "it is StoreScoped"}},
		"GoingSame":        {reason: "the same YAML", was: going(manifest("m", "a:1")), is: going(manifest("m", "a:1")), warnings: []string{restorable}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, tc.cached, tc.live)
			v := manifestValidator(w.preflight)
			var ws []string
			var err error
			if tc.was == nil {
				ws, err = v.ValidateCreate(asked(t, false), tc.is)
			} else {
				ws, err = v.ValidateUpdate(asked(t, false), tc.was, tc.is)
			}
			matches(t, tc.reason, tc.wrong, causes(err))
			matches(t, tc.reason, tc.warnings, ws)
		})
	}
}

// causes returns the causes of an error from NewInvalid as "path: message".
func causes(err error) []string {
	if err == nil {
		return nil
	}
	d := statusOf(err).Details
	if d == nil || len(d.Causes) == 0 {
		return []string{err.Error()}
	}
	var all []string
	for _, c := range d.Causes {
		all = append(all, c.Field+": "+c.Message)
	}
	return all
}

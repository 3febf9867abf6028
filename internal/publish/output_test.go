package publish

import (
	"bytes"
	"strings"
	"testing"

	"github.com/nfo-operator/nfo/internal/plugin/plugintest"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

func TestRowsCanBeShown(t *testing.T) {
	t.Parallel()
	m := &v1alpha1.ArtifactManifest{}
	m.Spec.Artifacts = []v1alpha1.ManifestArtifact{{ArtifactName: "upf" + plugintest.HostileText, ArtifactVersion: "1\nupf:2\tpushed"}}
	p, err := newPublication(&target{manifest: m}, nil)
	if err != nil {
		t.Fatal(err)
	}
	p.items[0].result = resultMissing
	var out bytes.Buffer
	if err := p.write(&out, "table"); err != nil || strings.ContainsAny(out.String(), plugintest.Controls) || strings.Count(out.String(), "\n") != 2 {
		t.Errorf("%v, %q, want two lines without what plugintest.Controls a terminal", err, out.String())
	}
}

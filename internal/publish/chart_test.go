package publish

import (
	"context"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/chart"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/oci"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

// TestSameChart would find a chart with a provenance taken for the chart
// without it that Helm pushed: its provenance would never be published.
func TestSameChart(t *testing.T) {
	t.Parallel()
	archive, other := oci.Blob{MediaType: chart.ContentMediaType, Data: []byte("chart")}, oci.Blob{MediaType: chart.ContentMediaType, Data: []byte("other")}
	signed, signedAgain := oci.Blob{MediaType: chart.ProvenanceMediaType, Data: []byte("signed")}, oci.Blob{MediaType: chart.ProvenanceMediaType, Data: []byte("again")}
	for name, tc := range map[string]struct {
		reason        string
		configType    string
		there, source []oci.Blob
		want          bool
	}{
		"Unsigned":   {"as helm push writes it", chart.ConfigMediaType, []oci.Blob{archive}, []oci.Blob{archive}, true},
		"Signed":     {"with its provenance, in any order", chart.ConfigMediaType, []oci.Blob{archive, signed}, []oci.Blob{signed, archive}, true},
		"SignedNow":  {"the provenance is new", chart.ConfigMediaType, []oci.Blob{archive}, []oci.Blob{archive, signed}, false},
		"SignedThen": {"the file has none any more", chart.ConfigMediaType, []oci.Blob{archive, signed}, []oci.Blob{archive}, false},
		"Resigned":   {"by another key", chart.ConfigMediaType, []oci.Blob{archive, signed}, []oci.Blob{archive, signedAgain}, false},
		"Other":      {"another chart", chart.ConfigMediaType, []oci.Blob{other}, []oci.Blob{archive}, false},
		"NoChart":    {"an artifact that has a chart in it", ocispec.MediaTypeImageConfig, []oci.Blob{archive}, []oci.Blob{archive}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := registrytest.Start(t)
			c, err := registry.Open(registry.Config{Location: r.Location("")})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			pack := func(configType, by string, layers []oci.Blob) *registry.Source {
				s, err := oci.Pack(t.Context(), "chart", oci.Blob{MediaType: configType, Data: []byte(`{"name":"upf"}`)}, layers, map[string]string{"by": by})
				if err != nil {
					t.Fatal(err)
				}
				return s
			}
			there, source := pack(tc.configType, "helm", tc.there), pack(chart.ConfigMediaType, "nfo", tc.source)
			if err = c.Copy(t.Context(), "acme/upf", there, func(int64) {}); err == nil {
				err = c.Tag(t.Context(), "acme/upf", "1", there, "")
			}
			if err != nil {
				t.Fatal(err)
			}
			p := &publication{target: &target{manifest: &v1alpha1.ArtifactManifest{}, client: c}}
			i := &item{repository: "acme/upf", entry: v1alpha1.ManifestArtifact{ArtifactName: "upf", ArtifactVersion: "1"}}
			i.candidate = &candidate{chart: true, read: func(context.Context) (*registry.Source, error) { return source, nil }}
			if err := p.inspectTag(t.Context(), i); err != nil || i.sameContent != tc.want {
				t.Errorf("%s: it is the same: %t, %v, want %t", tc.reason, i.sameContent, err, tc.want)
			}
		})
	}
}

package chart

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"strings"

	helmchart "helm.sh/helm/v3/pkg/chart"
)

// Helm's media types for the parts of a chart in a registry (Helm, "Use OCI-based registries").
const (
	ConfigMediaType     = "application/vnd.cncf.helm.config.v1+json"
	ContentMediaType    = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
	ProvenanceMediaType = "application/vnd.cncf.helm.chart.provenance.v1.prov"
)

// Archive is a chart as `helm package` packs it, with what is pushed along with it.
type Archive struct {
	Name, Version string
	// Bytes is the content of the archive, at most 8 MiB.
	Bytes []byte
	// Config is its Chart.yaml as JSON.
	Config []byte
	// Annotations are those of the artifact, as `helm push` makes them from Chart.yaml, except for the time of the
	// archive's file. The same archive therefore gives the same artifact, wherever and whenever it is pushed.
	Annotations map[string]string
}

// Tag returns the tag at which Helm expects the chart: its version, with _ instead of +.
func (c Archive) Tag() string { return strings.ReplaceAll(c.Version, "+", "_") }

// ReadArchive reads an archive to its end, and checks that Helm can load it. It
// renders no template. Errors wrap ErrNotChart, ErrTooLarge or ErrRender.
func ReadArchive(r io.Reader) (Archive, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxArchiveBytes+1))
	if err != nil {
		return Archive{}, fmt.Errorf("reading the chart: %w", err)
	}
	files, err := unpackChart(data)
	if err != nil {
		return Archive{}, err
	}
	c, err := loadChart(files)
	if err != nil {
		return Archive{}, err
	}
	config, err := json.Marshal(c.Metadata)
	if err != nil {
		return Archive{}, fmt.Errorf("%w: writing its Chart.yaml as JSON: %w", ErrNotChart, err)
	}
	return Archive{Name: c.Metadata.Name, Version: c.Metadata.Version, Bytes: data, Config: config, Annotations: chartAnnotations(c.Metadata)}, nil
}

// chartAnnotations returns the annotations that Helm's registry
// client makes of Chart.yaml. Helm does not export that function.
func chartAnnotations(m *helmchart.Metadata) map[string]string {
	const prefix = "org.opencontainers.image."
	all := map[string]string{}
	maps.Copy(all, m.Annotations)
	var authors []string
	for _, maintainer := range m.Maintainers {
		author := maintainer.Name
		if maintainer.Email != "" {
			author += " (" + maintainer.Email + ")"
		}
		authors = append(authors, author)
	}
	source := ""
	if len(m.Sources) > 0 {
		source = m.Sources[0]
	}
	// The chart may set every annotation except its name and version.
	for key, value := range map[string]string{"description": m.Description, "url": m.Home, "source": source, "authors": strings.Join(authors, ", ")} {
		if _, set := all[prefix+key]; !set && strings.TrimSpace(value) != "" {
			all[prefix+key] = value
		}
	}
	all[prefix+"title"], all[prefix+"version"] = m.Name, m.Version
	return all
}

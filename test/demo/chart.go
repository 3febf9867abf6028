package main

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/util/yaml"
)

// chart is a Helm chart as stored in a registry.
type chart struct {
	name, version string
	// metadata is Chart.yaml as JSON, the config of the artifact.
	metadata []byte
	// archive is the chart as packed by `helm package`: files under the chart's name in a gzipped tar archive.
	archive []byte
}

// packChart packs the chart in a directory. The same files give the same
// bytes: names are sorted, and the archive contains no times or owners.
func packChart(dir fs.FS) (chart, error) {
	text, err := fs.ReadFile(dir, "Chart.yaml")
	if err != nil {
		return chart{}, err
	}
	var c chart
	if c.metadata, err = yaml.ToJSON(text); err != nil {
		return chart{}, fmt.Errorf("reading Chart.yaml: %w", err)
	}
	var meta struct{ Name, Version string }
	if err := json.Unmarshal(c.metadata, &meta); err != nil {
		return chart{}, fmt.Errorf("reading Chart.yaml: %w", err)
	}
	if c.name, c.version = meta.Name, meta.Version; c.name == "" || c.version == "" {
		return chart{}, errors.New("the Chart.yaml has no name or no version")
	}
	names, err := chartFiles(dir)
	if err != nil {
		return chart{}, err
	}
	var buffer bytes.Buffer
	packer := gzip.NewWriter(&buffer)
	if err := writeTar(tar.NewWriter(packer), dir, c.name, names); err != nil {
		return chart{}, err
	}
	if err := packer.Close(); err != nil {
		return chart{}, err
	}
	c.archive = buffer.Bytes()
	return c, nil
}

// chartFiles lists the files. Chart.yaml and values.yaml come first, because readers expect them there.
func chartFiles(dir fs.FS) ([]string, error) {
	var names []string
	err := fs.WalkDir(dir, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			names = append(names, name)
		}
		return err
	})
	rank := func(name string) int { return slices.Index([]string{"values.yaml", "Chart.yaml"}, name) }
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(rank(b), rank(a)), cmp.Compare(a, b)) })
	return names, err
}

func writeTar(archive *tar.Writer, dir fs.FS, prefix string, names []string) error {
	for _, name := range names {
		data, err := fs.ReadFile(dir, name)
		if err != nil {
			return err
		}
		header := &tar.Header{Name: prefix + "/" + name, Mode: 0o644, Size: int64(len(data)), ModTime: time.Unix(0, 0)}
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		if _, err := archive.Write(data); err != nil {
			return err
		}
	}
	return archive.Close()
}

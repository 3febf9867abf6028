package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/Masterminds/semver/v3"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
)

// invalidInVersion matches characters that are not allowed in a part of a version.
var invalidInVersion = regexp.MustCompile(`[^0-9A-Za-z-]+`)

// chartVersion returns the version of the chart: the version of the release or,
// for a commit without a tag, a pre-release of the version in the chart's sources.
func (o options) chartVersion() (string, error) {
	plain := strings.TrimPrefix(o.version, "v")
	if v, err := semver.StrictNewVersion(plain); err == nil {
		return v.String(), nil
	}
	c, err := loader.LoadDir(o.chart)
	if err != nil {
		return "", fmt.Errorf("reading the chart: %w", err)
	}
	return c.Metadata.Version + "-dev.g" + invalidInVersion.ReplaceAllString(plain, "-"), nil
}

// writeChart writes the chart's package, and prints its path.
func writeChart(o options, out io.Writer) error {
	version, err := o.chartVersion()
	if err != nil {
		return err
	}
	c, err := loader.LoadDir(o.chart)
	if err != nil {
		return fmt.Errorf("reading the chart: %w", err)
	}
	c.Metadata.Version, c.Metadata.AppVersion = version, version
	packed, err := o.packChart(c)
	if err != nil {
		return fmt.Errorf("packing the chart: %w", err)
	}
	path := filepath.Join(o.out, fmt.Sprintf("%s-%s.tgz", c.Name(), version))
	if err := os.WriteFile(path, packed, 0o644); err != nil {
		return fmt.Errorf("writing the chart: %w", err)
	}
	fmt.Fprintln(out, path)
	return nil
}

// packChart packs a chart as Helm does, but sets the time of every file to that of the release.
func (o options) packChart(c *chart.Chart) (packed []byte, err error) {
	work, err := os.MkdirTemp("", "chart-*")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	name, err := chartutil.Save(c, work)
	if err != nil {
		return nil, err
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		return nil, err
	}
	var all bytes.Buffer
	zipped := gzip.NewWriter(&all)
	zipped.Header = gzip.Header{Extra: unzipped.Extra, Comment: unzipped.Comment, OS: unzipped.OS}
	if err := o.redate(tar.NewReader(unzipped), tar.NewWriter(zipped)); err != nil {
		return nil, err
	}
	err = zipped.Close()
	return all.Bytes(), err
}

// redate copies an archive, and sets the time of each file to that of the release.
func (o options) redate(from *tar.Reader, to *tar.Writer) error {
	for {
		header, err := from.Next()
		if errors.Is(err, io.EOF) {
			return to.Close()
		}
		if err != nil {
			return err
		}
		header.ModTime = o.created
		if err := to.WriteHeader(header); err != nil {
			return err
		}
		if _, err := io.CopyN(to, from, header.Size); err != nil {
			return err
		}
	}
}

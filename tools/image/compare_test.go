package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// variant is an image in which one row of the test has changed something.
type variant struct {
	platform v1.Platform
	config   v1.Config
	files    []tar.Header // Linkname is the content of a regular file
}

func base() *variant {
	return &variant{
		platform: v1.Platform{OS: "linux", Architecture: "amd64"},
		config: v1.Config{
			User: "65532", Entrypoint: []string{"/nfo"}, Env: []string{"PATH=/bin"}, Labels: map[string]string{"version": "1"},
		},
		files: []tar.Header{
			{Name: "etc/", Typeflag: tar.TypeDir, Mode: 0o755},
			{Name: "nfo", Typeflag: tar.TypeReg, Mode: 0o755, Linkname: "binary"},
		},
	}
}

// layout writes the image to a new directory, as an OCI layout.
func (v *variant) layout(t *testing.T) string {
	t.Helper()
	var packed bytes.Buffer
	w := tar.NewWriter(&packed)
	for _, header := range v.files {
		content := ""
		if header.Typeflag == tar.TypeReg {
			content, header.Linkname = header.Linkname, ""
		}
		header.Size = int64(len(content))
		if err := w.WriteHeader(&header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			t.Fatal(err)
		}
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(packed.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	file := &v1.ConfigFile{OS: v.platform.OS, Architecture: v.platform.Architecture, Config: v.config, RootFS: v1.RootFS{Type: "layers"}}
	image, err := mutate.ConfigFile(empty.Image, file)
	if err != nil {
		t.Fatal(err)
	}
	if image, err = mutate.AppendLayers(image, layer); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "image")
	if _, err := layout.Write(dir, mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: image})); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestCompare(t *testing.T) {
	t.Parallel()
	file := "linux/amd64 file /nfo"
	tests := map[string]struct {
		reason string
		change func(*variant)
		want   []string
	}{
		"Same":       {"two builds of one image are one image", func(*variant) {}, nil},
		"User":       {"it may be root", func(v *variant) { v.config.User = "0" }, []string{"linux/amd64 config User"}},
		"Entrypoint": {"another program starts", func(v *variant) { v.config.Entrypoint = nil }, []string{"linux/amd64 config Entrypoint"}},
		"Command":    {"it starts with other arguments", func(v *variant) { v.config.Cmd = []string{"purge"} }, []string{"linux/amd64 config Cmd"}},
		"Env":        {"it changes what programs do", func(v *variant) { v.config.Env = []string{"PATH=/"} }, []string{"linux/amd64 config Env"}},
		"Label":      {"people trust the version", func(v *variant) { v.config.Labels = map[string]string{"version": "2"} }, []string{"linux/amd64 label version"}},
		"LabelMore": {
			"a label of the builder's own is one too many",
			func(v *variant) { v.config.Labels = map[string]string{"version": "1", "builder": "x"} }, []string{"linux/amd64 label builder"},
		},
		"Content":    {"another program", func(v *variant) { v.files[1].Linkname = "BINARY" }, []string{file}},
		"Mode":       {"it may be not executable", func(v *variant) { v.files[1].Mode = 0o644 }, []string{file}},
		"SetUserID":  {"it runs as its owner", func(v *variant) { v.files[1].Mode = 0o4755 }, []string{file}},
		"Owner":      {"its owner may write it", func(v *variant) { v.files[1].Uid = 65532 }, []string{file}},
		"Group":      {"its group may write it", func(v *variant) { v.files[1].Gid = 65532 }, []string{file}},
		"Link":       {"a link is not a program", func(v *variant) { v.files[1].Typeflag = tar.TypeSymlink }, []string{file}},
		"FileLess":   {"a file is missing", func(v *variant) { v.files = v.files[:1] }, []string{file}},
		"Directory":  {"directories have modes too", func(v *variant) { v.files[0].Mode = 0o777 }, []string{"linux/amd64 file /etc"}},
		"OtherOrder": {"the order in a layer is invisible", func(v *variant) { v.files[0], v.files[1] = v.files[1], v.files[0] }, nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			left, right := base(), base()
			tc.change(right)
			var out bytes.Buffer
			err := compare(left.layout(t), right.layout(t), &out)
			if errors.Is(err, errDifferent) != (tc.want != nil) || (err != nil && tc.want == nil) {
				t.Errorf("%s\ncompare: %v\n%s", tc.reason, err, &out)
			}
			if diff := cmp.Diff(tc.want, namedKeys(out.String())); diff != "" {
				t.Errorf("%s\ndifferences named (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

// namedKeys returns the keys that a comparison printed, which are the lines that end with a colon.
func namedKeys(out string) []string {
	var keys []string
	for line := range strings.Lines(out) {
		if key, ok := strings.CutSuffix(line, ":\n"); ok {
			keys = append(keys, key)
		}
	}
	return keys
}

func TestComparePlatforms(t *testing.T) {
	t.Parallel()
	left, right := base(), base()
	right.platform.Architecture = "arm64"
	var out bytes.Buffer
	if err := compare(left.layout(t), right.layout(t), &out); !errors.Is(err, errDifferent) {
		t.Errorf("compare of two platforms: %v", err)
	}
	for _, want := range []string{"linux/amd64:", "linux/arm64:"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no word of %s in:\n%s", want, &out)
		}
	}
}

func TestCompareNothing(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "image")
	if _, err := layout.Write(dir, empty.Index); err != nil {
		t.Fatal(err)
	}
	if err := compare(dir, dir, io.Discard); err == nil || !strings.Contains(err.Error(), "has no image") {
		t.Errorf("compare of nothing with nothing: %v, want a refusal", err)
	}
}

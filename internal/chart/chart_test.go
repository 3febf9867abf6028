package chart

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "write what was read into the charts of testdata, to be looked at")

// chartCase is one file of testdata/charts: the purpose of the chart, then lines "registry: path",
// "pull-secret: path" and "cpu: 2s", the chart's files and, as the last file, want with the
// expected result. Files under charts/x.tgz/ are packed into a separate archive.
type chartCase struct {
	file    *txtar.Archive
	reason  string
	request Request
	limits  Limits
	want    string
}

const wantFile = "want"

func parseChartCase(text []byte) chartCase {
	c := chartCase{file: txtar.Parse(text)}
	for line := range strings.Lines(string(c.file.Comment)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch key {
		case "registry":
			c.request.RegistryValuesPaths = append(c.request.RegistryValuesPaths, value)
		case "pull-secret":
			c.request.ImagePullSecretsValuesPaths = append(c.request.ImagePullSecretsValuesPaths, value)
		case "cpu":
			var err error
			if c.limits.CPU, err = time.ParseDuration(value); err != nil {
				panic(err)
			}
		default:
			c.reason += line
		}
	}
	files := map[string][]byte{}
	for _, f := range c.file.Files {
		if f.Name == wantFile {
			c.want = string(f.Data)
		} else {
			files[f.Name] = f.Data
		}
	}
	c.request.Archive = pack(files)
	return c
}

// pack packs files under one directory, as `helm package` does.
func pack(files map[string][]byte) []byte {
	packed := map[string]map[string][]byte{}
	var entries []tarEntry
	for name, data := range files {
		if outer, inner, ok := strings.Cut(name, ".tgz/"); ok {
			if packed[outer+".tgz"] == nil {
				packed[outer+".tgz"] = map[string][]byte{}
			}
			packed[outer+".tgz"][inner] = data
			continue
		}
		entries = append(entries, file("chart/"+name, data))
	}
	for name, inner := range packed {
		entries = append(entries, file("chart/"+name, pack(inner)))
	}
	slices.SortFunc(entries, func(a, b tarEntry) int { return strings.Compare(a.Name, b.Name) })
	return packEntries(entries...)
}

type tarEntry struct {
	tar.Header
	data []byte
}

func file(name string, data []byte) tarEntry {
	return tarEntry{tar.Header{Name: name, Mode: 0o644, Typeflag: tar.TypeReg}, data}
}

func packEntries(entries ...tarEntry) []byte {
	var buffer bytes.Buffer
	zipped := gzip.NewWriter(&buffer)
	archive := tar.NewWriter(zipped)
	for _, e := range entries {
		e.Size = int64(len(e.data))
		if err := errors.Join(archive.WriteHeader(&e.Header), write(archive, e.data)); err != nil {
			panic(err)
		}
	}
	if err := errors.Join(archive.Close(), zipped.Close()); err != nil {
		panic(err)
	}
	return buffer.Bytes()
}

func write(w interface{ Write([]byte) (int, error) }, data []byte) error {
	_, err := w.Write(data)
	return err
}

// describe returns the result of a reading as text.
func describe(c Chart, err error) string {
	var b strings.Builder
	if c.Name != "" {
		fmt.Fprintf(&b, "%s %s %s app %q\n", c.Type, c.Name, c.Version, c.AppVersion)
	}
	for _, d := range c.Dependencies {
		fmt.Fprintf(&b, "dependency %s %s: %s alias %q range %q version %q condition %q tags %v\n",
			d.Path, d.State, d.Name, d.Alias, d.Range, d.Version, d.Condition, d.Tags)
	}
	for _, i := range c.Images {
		fmt.Fprintf(&b, "%s%s %s = %s %s %s %s\n", i.Origin, map[bool]string{true: " optional " + string(i.Why)}[i.Optional()], i.Reference, or(i.Host), or(i.Repository), or(i.Tag), or(i.Digest))
		for _, s := range i.Sources {
			if s.Values != "" {
				fmt.Fprintf(&b, "  values %s\n", s.Values)
				continue
			}
			fmt.Fprintf(&b, "  %s %s/%s %s%s\n", s.Template, s.Kind, s.Name, s.Field, map[bool]string{true: " hook " + s.Hook}[s.Hook != ""]+map[bool]string{true: " text"}[s.Text])
		}
	}
	for _, u := range c.Remarks {
		fmt.Fprintf(&b, "remark %s\n", u)
	}
	if err != nil {
		fmt.Fprintf(&b, "error %s\n", strings.ReplaceAll(err.Error(), "\n", "\nerror "))
	}
	return b.String()
}

func or(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func chartReader(t *testing.T, limits Limits) *Reader {
	t.Helper()
	r, err := NewReader(limits, 2, chartCommand...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestCharts(t *testing.T) {
	t.Parallel()
	names, err := fs.Glob(os.DirFS("testdata/charts"), "*.txtar")
	if err != nil || len(names) < 25 {
		t.Fatalf("%d charts, %v", len(names), err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(name, path.Ext(name)), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(filepath.Join("testdata/charts", name))
			if err != nil {
				t.Fatal(err)
			}
			c := parseChartCase(text)
			chart, err := chartReader(t, c.limits).Read(t.Context(), c.request)
			got := describe(chart, err)
			if *update {
				c.write(t, name, got)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s\n-want +got\n%s", c.reason, diff)
			}
		})
	}
}

func (c chartCase) write(t *testing.T, name, got string) {
	t.Helper()
	c.file.Files = slices.DeleteFunc(c.file.Files, func(f txtar.File) bool { return f.Name == wantFile })
	c.file.Files = append(c.file.Files, txtar.File{Name: wantFile, Data: []byte(got)})
	if err := os.WriteFile(filepath.Join("testdata/charts", name), txtar.Format(c.file), 0o644); err != nil {
		t.Fatal(err)
	}
}

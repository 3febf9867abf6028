package chart

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

const plainChart = "apiVersion: v2\nname: app\nversion: 1.0.0\n"

// nested packs an archive into itself, depth times.
func nested(depth int) []byte {
	inner := pack(map[string][]byte{"Chart.yaml": []byte(plainChart)})
	for range depth {
		inner = packEntries(file("chart/Chart.yaml", []byte(plainChart)), file("chart/charts/app.tgz", inner))
	}
	return inner
}

func TestHostileArchives(t *testing.T) {
	t.Parallel()
	chart := file("chart/Chart.yaml", []byte(plainChart))
	zeros := make([]byte, 5<<20)
	var many []tarEntry
	for i := range maxChartFiles {
		many = append(many, file(fmt.Sprintf("chart/files/%d", i), nil))
	}
	link := func(flag byte, to string) tarEntry {
		return tarEntry{tar.Header{Name: "chart/templates/x.yaml", Linkname: to, Typeflag: flag}, nil}
	}
	bomb := func(n int) []byte {
		entries := []tarEntry{chart}
		for i := range n {
			entries = append(entries, file(fmt.Sprintf("chart/files/%d", i), zeros))
		}
		return packEntries(entries...)
	}
	good := packEntries(chart)
	tests := map[string]struct {
		reason  string
		archive []byte
		want    error
		says    string
	}{
		"Good":         {"the smallest one", good, nil, ""},
		"Nothing":      {"no bytes", nil, ErrNotChart, "EOF"},
		"NoGzip":       {"a tar that is not compressed", []byte(plainChart), ErrNotChart, "gzip: invalid header"},
		"NoTar":        {"compressed, and no tar", gzipped([]byte(plainChart)), ErrNotChart, "unexpected EOF"},
		"NoFiles":      {"a tar with nothing in it", packEntries(), ErrNotChart, "no files"},
		"Cut":          {"half a download", good[:len(good)/2], ErrNotChart, "unexpected EOF"},
		"Up":           {"a path out of the chart", packEntries(chart, file("chart/../../etc/passwd", nil)), ErrNotChart, "parent directory"},
		"UpWindows":    {"the same on Windows", packEntries(chart, file(`chart\..\..\etc`, nil)), ErrNotChart, "parent directory"},
		"Absolute":     {"a path from the root", packEntries(chart, file("chart//etc/passwd", nil)), ErrNotChart, "absolute"},
		"Drive":        {"a path on a drive", packEntries(chart, file(`chart\c:\x`, nil)), ErrNotChart, "illegally named"},
		"NoDirectory":  {"files at the top", packEntries(file("Chart.yaml", []byte(plainChart))), ErrNotChart, "outside the base directory"},
		"Symlink":      {"a link to a file of the machine", packEntries(chart, link(tar.TypeSymlink, "/etc/passwd")), ErrNotChart, "not a regular file"},
		"Hardlink":     {"another kind of link", packEntries(chart, link(tar.TypeLink, "chart/Chart.yaml")), ErrNotChart, "not a regular file"},
		"Device":       {"no file at all", packEntries(chart, link(tar.TypeChar, "")), ErrNotChart, "not a regular file"},
		"Large":        {"one byte too many", make([]byte, maxArchiveBytes+1), ErrTooLarge, "8388609 bytes"},
		"Bomb":         {"35 MiB of zeros in 35 KiB", bomb(7), ErrTooLarge, "unpacks to more than 33554432"},
		"LargeFile":    {"a file larger than Helm loads", packEntries(chart, file("chart/x", make([]byte, 5<<20+1))), ErrTooLarge, "5242881 bytes"},
		"ManyFiles":    {"one file too many", packEntries(append(many, chart)...), ErrTooLarge, "more than 10000 files"},
		"LongName":     {"a path that nobody types", packEntries(chart, file("chart/"+strings.Repeat("charts/a/", 200)+"x", nil)), ErrTooLarge, "name has 1807 bytes"},
		"PackedBomb":   {"the bomb is in a subchart", packEntries(chart, file("chart/charts/a.tgz", bomb(4)), file("chart/charts/b.tgz", bomb(4))), ErrTooLarge, "in chart/charts/b.tgz"},
		"PackedLink":   {"the link is in a subchart", packEntries(chart, file("chart/charts/a.tgz", packEntries(chart, link(tar.TypeSymlink, "/")))), ErrNotChart, "in chart/charts/a.tgz"},
		"PackedNoZip":  {"a subchart that is not one", packEntries(chart, file("chart/charts/a.tgz", []byte("x"))), ErrRender, "error unpacking subchart a.tgz in app"},
		"Deep":         {"as deep as is read", nested(maxPackedDepth), nil, ""},
		"TooDeep":      {"deeper", nested(maxPackedDepth + 1), ErrTooLarge, "more than 8 deep"},
		"ExtraAtEnd":   {"bytes after the end", append(bytes.Clone(good), good...), nil, ""},
		"NullMetadata": {"a Chart.yaml of null", packEntries(file("chart/Chart.yaml", []byte("null"))), ErrNotChart, "name is required"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			chart, err := chartReader(t, Limits{}).Read(t.Context(), Request{Archive: tc.archive})
			if !errors.Is(err, tc.want) || tc.want != nil && !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%s: the error is %v, want %v: %s", tc.reason, err, tc.want, tc.says)
			}
			if tc.want == nil && (chart.Name != "app" || chart.Version != "1.0.0") {
				t.Errorf("%s: read %+v", tc.reason, chart)
			}
		})
	}
}

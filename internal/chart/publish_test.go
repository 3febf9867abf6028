package chart

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReadChartArchive(t *testing.T) {
	t.Parallel()
	const whole = `apiVersion: v2
name: upf
version: 1.0.0+build.7
description: the user plane
home: https://example.com/upf
sources: [https://example.com/source, https://example.com/mirror]
maintainers: [{name: A, email: a@example.com}, {name: B}]
annotations: {example.com/x: z, org.opencontainers.image.title: other, org.opencontainers.image.url: https://example.com/own}
`
	archive := packEntries(file("upf/Chart.yaml", []byte(whole)))
	got, err := ReadArchive(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	if got.Name != "upf" || got.Version != "1.0.0+build.7" || got.Tag() != "1.0.0_build.7" || !bytes.Equal(got.Bytes, archive) {
		t.Errorf("read %s %s %s", got.Name, got.Version, got.Tag())
	}
	const o = "org.opencontainers.image."
	want := map[string]string{
		o + "title": "upf", o + "version": "1.0.0+build.7", o + "description": "the user plane", o + "url": "https://example.com/own",
		o + "source": "https://example.com/source", o + "authors": "A (a@example.com), B", "example.com/x": "z",
	}
	if diff := cmp.Diff(want, got.Annotations); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
	if !bytes.Contains(got.Config, []byte(`"name":"upf"`)) {
		t.Errorf("the config is %s", got.Config)
	}
}

func TestReadChartArchiveRefuses(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason  string
		archive []byte
		want    error
	}{
		"NoGzip":  {"no archive", []byte(plainChart), ErrNotChart},
		"NoChart": {"no Chart.yaml", packEntries(file("upf/values.yaml", nil)), ErrNotChart},
		"NoName":  {"a Chart.yaml without a name", packEntries(file("upf/Chart.yaml", []byte("apiVersion: v2\nversion: 1.0.0\n"))), ErrNotChart},
		"Large":   {"one byte too many", make([]byte, maxArchiveBytes+1), ErrTooLarge},
	} {
		if _, err := ReadArchive(bytes.NewReader(tc.archive)); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v: %s", name, err, tc.want, tc.reason)
		}
	}
}

package main

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// program returns the smallest file that is taken for a program for machine, with segments of the given types.
func program(t *testing.T, machine elf.Machine, segments ...elf.ProgType) []byte {
	t.Helper()
	header := elf.Header64{
		Ident: [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:  uint16(elf.ET_EXEC), Machine: uint16(machine), Version: uint32(elf.EV_CURRENT),
		Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: uint16(len(segments)),
	}
	var out bytes.Buffer
	parts := []any{header}
	for _, segment := range segments {
		parts = append(parts, elf.Prog64{Type: uint32(segment)})
	}
	for _, part := range parts {
		if err := binary.Write(&out, binary.LittleEndian, part); err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes()
}

// inputs writes the input files of an image to a new directory, and returns the directory.
func inputs(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "amd64"), program(t, elf.EM_X86_64))
	write(t, filepath.Join(dir, "arm64"), program(t, elf.EM_AARCH64))
	if err := writeRoots(filepath.Join(dir, "roots")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// command returns the arguments that build both platforms from
// dir's files into dir/nfo.tar. Later flags override earlier ones.
func command(dir string, flags ...string) []string {
	args := []string{"build", "--name", "nfo:test", "--epoch", "1700000000", "--roots", dir + "/roots", "--output", dir + "/nfo.tar"}
	return append(append(args, flags...), "linux/amd64="+dir+"/amd64", "linux/arm64="+dir+"/arm64")
}

func do(t *testing.T, args ...string) string {
	t.Helper()
	var out bytes.Buffer
	if err := dispatch(t.Context(), args, &out); err != nil {
		t.Fatalf("image %s: %v\n%s", args[0], err, &out)
	}
	return out.String()
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func TestBuildIsReproducible(t *testing.T) {
	t.Parallel()
	first, second := inputs(t), inputs(t)
	if err := os.Chmod(second+"/amd64", 0o755); err != nil { // the modes, times and paths of inputs must not matter either
		t.Fatal(err)
	}
	do(t, command(first)...)
	do(t, command(second)...)
	want := read(t, first+"/nfo.tar")
	if !bytes.Equal(want, read(t, second+"/nfo.tar")) {
		t.Error("two builds of the same inputs differ")
	}
	do(t, command(second, "--epoch", "1700000001")...)
	if bytes.Equal(want, read(t, second+"/nfo.tar")) {
		t.Error("two builds with another --epoch are the same: the comparison proves nothing")
	}
}

func TestBuildIsValid(t *testing.T) {
	t.Parallel()
	dir := inputs(t)
	do(t, command(dir, "--name", "localhost/nfo:1.2")...)
	err := withIndex(dir+"/nfo.tar", func(index v1.ImageIndex) error {
		manifest, err := index.IndexManifest()
		if err != nil {
			return err
		}
		annotations := manifest.Manifests[0].Annotations
		if got := annotations["io.containerd.image.name"]; got != "localhost/nfo:1.2" {
			t.Errorf("containerd would name the image %q", got)
		}
		if got := annotations["org.opencontainers.image.ref.name"]; got != "1.2" {
			t.Errorf("the tag is %q", got)
		}
		return validate.Index(index)
	})
	if err != nil {
		t.Error(err)
	}
}

func TestBuildRefuses(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		reason string
		amd64  []byte
		flags  []string
		want   string
	}{
		"TooLarge": {
			reason: "an image that grew past its limit is a mistake that nobody sees otherwise",
			amd64:  append(program(t, elf.EM_X86_64), make([]byte, maxUnpacked)...),
			want:   "at most 67108864 are allowed",
		},
		"OtherMachine": {
			reason: "nodes would pull it and fail with 'exec format error'",
			amd64:  program(t, elf.EM_AARCH64),
			want:   "GOARCH",
		},
		"Dynamic": {
			reason: "the image has no dynamic linker, so the container would not start",
			amd64:  program(t, elf.EM_X86_64, elf.PT_INTERP),
			want:   "CGO_ENABLED=0",
		},
		"NotAProgram": {
			reason: "a script has no interpreter in the image",
			amd64:  []byte("#!/bin/sh\n"),
			want:   "reading the binary",
		},
		"NameWithDigest": {
			reason: "the digest is not known before the image is",
			amd64:  program(t, elf.EM_X86_64),
			flags:  []string{"--name", "nfo@sha256:" + strings.Repeat("0", 64)},
			want:   "name a tag",
		},
		"NameNotValid": {
			reason: "neither docker nor containerd would take it",
			amd64:  program(t, elf.EM_X86_64),
			flags:  []string{"--name", "NFO"},
			want:   "lowercase",
		},
		"OtherPlatform": {
			reason: "what a binary for it has to look like is not known",
			amd64:  program(t, elf.EM_X86_64),
			flags:  []string{"linux/s390x=nfo"},
			want:   "linux/arm64",
		},
		"PlatformTwice": {
			reason: "which of the two a node would get is left to chance",
			amd64:  program(t, elf.EM_X86_64),
			flags:  []string{"linux/amd64=nfo"},
			want:   "two binaries",
		},
		"NothingNamed": {
			reason: "flags that are missing are a wrong usage",
			amd64:  program(t, elf.EM_X86_64),
			flags:  []string{"--name", ""},
			want:   errUsage.Error(),
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := inputs(t)
			write(t, dir+"/amd64", tc.amd64)
			err := dispatch(t.Context(), command(dir, tc.flags...), &bytes.Buffer{})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%s\ngot %v, want an error that says %q", tc.reason, err, tc.want)
			}
			if _, err := os.Stat(dir + "/nfo.tar"); err == nil {
				t.Errorf("%s\na refused build left an archive", tc.reason)
			}
		})
	}
}

func TestParseName(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ reason, name, want string }{
		"Short":    {"docker's registry and tag are the defaults", "nfo", "docker.io/library/nfo:latest"},
		"Tagged":   {"docker's registry is the default", "nfo:1.2", "docker.io/library/nfo:1.2"},
		"Local":    {"localhost is a registry, with no port either", "localhost/nfo:1.2", "localhost/nfo:1.2"},
		"Complete": {"nothing is missing", "registry.example.com/nfo:e2e", "registry.example.com/nfo:e2e"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := parseName(tc.name)
			if err != nil || got.String() != tc.want {
				t.Errorf("%s\nparseName(%q) = %v, %v; want %s", tc.reason, tc.name, got, err, tc.want)
			}
		})
	}
}

package publish

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// provenanceFile is a provenance signed with gpg.
const provenanceFile = "testdata/upf-1.0.0.tgz.prov"

func TestReadProvenance(t *testing.T) {
	t.Parallel()
	signed, err := os.ReadFile(provenanceFile)
	if err != nil {
		t.Fatal(err)
	}
	const key = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmU\n-----END OPENSSH PRIVATE KEY-----\n"
	private := filepath.Join(t.TempDir(), "id_ed25519")
	elsewhere := filepath.Join(t.TempDir(), "signed")
	if err := errors.Join(os.WriteFile(private, []byte(key), 0o600), os.WriteFile(elsewhere, signed, 0o600)); err != nil {
		t.Fatal(err)
	}
	text := func(data string) func(string) error {
		return func(file string) error { return os.WriteFile(file, []byte(data), 0o600) }
	}
	for name, tc := range map[string]struct {
		reason string
		make   func(file string) error
		want   []byte
		says   string
	}{
		"Signed":   {"as Helm and gpg write it", text(string(signed)), signed, ""},
		"Windows":  {"with other line ends", text(strings.ReplaceAll(string(signed), "\n", "\r\n")), bytes.ReplaceAll(signed, []byte("\n"), []byte("\r\n")), ""},
		"None":     {"most charts have none", func(string) error { return nil }, nil, ""},
		"LinkKey":  {"the key would be pushed", func(file string) error { return os.Symlink(private, file) }, nil, "links are not followed"},
		"LinkGood": {"nobody named what it leads to", func(file string) error { return os.Symlink(elsewhere, file) }, nil, "links are not followed"},
		"LinkHard": {"a key by another name", func(file string) error { return os.Link(private, file) }, nil, "not a provenance file"},
		"Key":      {"a copy of the key", text(key), nil, "not a provenance file"},
		"KeyAfter": {"a key behind a signature", text(string(signed) + key), nil, "not a provenance file"},
		"KeyIn":    {"a key within it", text(strings.Replace(string(signed), "-----END PGP", key+"-----END PGP", 1)), nil, "not a provenance file"},
		"Unsigned": {"a signature that was cut off", text(string(signed[:len(signed)/2])), nil, "not a provenance file"},
		"Empty":    {"nothing is not a signature", text(""), nil, "not a provenance file"},
		"Large":    {"it is read into memory", func(file string) error { return errors.Join(text("")(file), os.Truncate(file, maxProvenanceBytes+1)) }, nil, "too large"},
		"Pipe":     {"it would be waited for forever", func(file string) error { return syscall.Mkfifo(file, 0o600) }, nil, "not a regular file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			chart := filepath.Join(t.TempDir(), "upf-1.0.0.tgz")
			if err := errors.Join(os.WriteFile(chart, nil, 0o600), tc.make(chart+".prov")); err != nil {
				t.Fatal(err)
			}
			got, err := readProvenance(chart)
			if !bytes.Equal(got, tc.want) || (err == nil) != (tc.says == "") || err != nil && !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%s: %q, %v, want %q and an error that says %q", tc.reason, got, err, tc.want, tc.says)
			}
			if err != nil && (strings.Contains(err.Error(), "b3Blbn") || !strings.Contains(err.Error(), "upf-1.0.0.tgz.prov")) {
				t.Errorf("%s: %v, want the name of the file, and nothing of what it has", tc.reason, err)
			}
		})
	}
}

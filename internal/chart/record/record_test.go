package record

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
)

// packed returns a record as Helm stores it.
func packed(t *testing.T, text string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return plain(out.String())
}

func plain(text string) []byte { return base64.StdEncoding.AppendEncode(nil, []byte(text)) }

// Everybody who may write Secrets can write records: each is decoded, or refused with one of two errors.
func TestDecode(t *testing.T) {
	t.Parallel()
	const text = `{"name":"upf","version":3,"info":{"status":"deployed"},"manifest":"kind: Pod","hooks":[{"name":"test","manifest":"kind: Job"}],"chart":{"big":true}}`
	whole := packed(t, text)
	tests := map[string]struct {
		reason string
		data   []byte
		want   error
	}{
		"Packed":    {"as Helm writes it", whole, nil},
		"Plain":     {"as early versions of Helm wrote it", plain(text), nil},
		"NoBase64":  {"somebody else's Secret", []byte("%"), ErrUnreadable},
		"NoJSON":    {"base64 of something else", plain("kind: Pod"), ErrUnreadable},
		"NoGzip":    {"it begins like a compressed one", plain("\x1f\x8b\x08"), ErrUnreadable},
		"Cut":       {"it was cut off", plain(string(must(t, whole))[:40]), ErrUnreadable},
		"Large":     {"no Secret holds as much", bytes.Repeat([]byte("A"), MaxBytes+1), ErrTooLarge},
		"Bomb":      {"it is small until it is unpacked", packed(t, strings.Repeat(" ", maxUnpacked+1)), ErrTooLarge},
		"WrongType": {"a field is of another type", plain(`{"version":"three"}`), ErrUnreadable},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := Decode(tc.data)
			if !errors.Is(err, tc.want) || (tc.want == nil) != (err == nil) {
				t.Fatalf("%s: the error is %v, want %v", tc.reason, err, tc.want)
			}
			if err == nil && (got.Name != "upf" || got.Version != 3 || got.Info.Status != "deployed" || got.Manifest != "kind: Pod" || len(got.Hooks) != 1 || got.Hooks[0].Manifest != "kind: Job") {
				t.Errorf("%s: %+v", tc.reason, got)
			}
			if err != nil && got.Name != "" {
				t.Errorf("%s: what could not be read says %+v", tc.reason, got)
			}
		})
	}
}

func must(t *testing.T, data []byte) []byte {
	t.Helper()
	text, err := base64.StdEncoding.AppendDecode(nil, data)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

package main

import "testing"

func TestParseReference(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]reference{
		"127.0.0.1:5000/a/b:1@sha256:00": {"127.0.0.1:5000", "a/b", "1", "sha256:00"},
		"127.0.0.1:5000/a/b@sha256:00":   {"127.0.0.1:5000", "a/b", "", "sha256:00"},
		"127.0.0.1:5000/a/b:1":           {"127.0.0.1:5000", "a/b", "1", ""},
		"127.0.0.1:5000/a/b":             {"127.0.0.1:5000", "a/b", "", ""},
	} {
		if got, err := parseReference(text); err != nil || got != want || got.String() != text {
			t.Errorf("parseReference(%q) = %+v, %v, want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "host", "host/", "/a:1"} {
		if got, err := parseReference(text); err == nil {
			t.Errorf("parseReference(%q) = %+v, want an error", text, got)
		}
	}
}

package main

import (
	"errors"
	"os/exec"
	"testing"
)

func TestExpectations(t *testing.T) {
	t.Parallel()
	const table = "NAME    STATE\nupf-1   Kept\nupf-2   Kept\n"
	for name, tc := range map[string]struct {
		reason string
		expect expectation
		want   bool
	}{
		"Says":        {"columns are as wide as their content", says("upf-1 Kept", "upf-2 Kept"), true},
		"SaysNot":     {"one of two texts is not enough", says("upf-1 Kept", "upf-3"), false},
		"SaysNothing": {"nothing is expected", says(), true},
		"Omits":       {"it is not there", omits("Purged"), true},
		"OmitsNot":    {"it is there", omits("Purged", "Kept"), false},
		"Lines":       {"two lines have it", lines(2, "Kept"), true},
		"LinesMore":   {"three are expected", lines(3, "Kept"), false},
		"LinesFewer":  {"one is expected", lines(1, "Kept"), false},
		"LinesNone":   {"none is expected and none is there", lines(0, "Purged"), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := tc.expect(table); (err == nil) != tc.want {
				t.Errorf("%s: got error %v", tc.reason, err)
			}
		})
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	failed := error(&exec.ExitError{})
	for name, tc := range map[string]struct {
		reason string
		step   step
		err    error
		want   bool
	}{
		"AsTold":           {"it succeeds and says so", run("x", says("well")), nil, true},
		"Failed":           {"it fails, whatever it says", run("x", says("well")), failed, false},
		"SaysOther":        {"it says something else", run("x", says("ill")), nil, false},
		"Refused":          {"it fails, as it has to", refused("x", says("well")), failed, true},
		"NotRefused":       {"it succeeds and must not", refused("x"), nil, false},
		"NotRun":           {"a command that could not be run is not a refusal", refused("x"), errors.New("no bash"), false},
		"RefusedOtherwise": {"it fails for another reason", refused("x", says("forbidden")), failed, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := tc.step.judge("all is well", tc.err); (err == nil) != tc.want {
				t.Errorf("%s: got error %v", tc.reason, err)
			}
		})
	}
}

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

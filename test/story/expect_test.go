package story

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
		expect Expectation
		want   bool
	}{
		"Says":        {"columns are as wide as their content", Says("upf-1 Kept", "upf-2 Kept"), true},
		"SaysNot":     {"one of two texts is not enough", Says("upf-1 Kept", "upf-3"), false},
		"SaysNothing": {"nothing is expected", Says(), true},
		"Omits":       {"it is not there", Omits("Purged"), true},
		"OmitsNot":    {"it is there", Omits("Purged", "Kept"), false},
		"Lines":       {"two lines have it", Lines(2, "Kept"), true},
		"LinesMore":   {"three are expected", Lines(3, "Kept"), false},
		"LinesFewer":  {"one is expected", Lines(1, "Kept"), false},
		"LinesNone":   {"none is expected and none is there", Lines(0, "Purged"), true},
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
		step   Step
		err    error
		want   bool
	}{
		"AsTold":           {"it succeeds and says so", Run("x", Says("well")), nil, true},
		"Failed":           {"it fails, whatever it says", Run("x", Says("well")), failed, false},
		"SaysOther":        {"it says something else", Run("x", Says("ill")), nil, false},
		"Refused":          {"it fails, as it has to", Refused("x", Says("well")), failed, true},
		"NotRefused":       {"it succeeds and must not", Refused("x"), nil, false},
		"NotRun":           {"a command that could not be run is not a refusal", Refused("x"), errors.New("no bash"), false},
		"RefusedOtherwise": {"it fails for another reason", Refused("x", Says("forbidden")), failed, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := tc.step.judge("all is well", tc.err); (err == nil) != tc.want {
				t.Errorf("%s: got error %v", tc.reason, err)
			}
		})
	}
}

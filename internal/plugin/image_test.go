package plugin

import (
	"errors"
	"testing"
)

const digestA = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

// An image must be given in full: a default host or tag could select another image than the user meant.
func TestParseImage(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		reason, image string
		want          ImageReference
		wrong         bool
	}{
		"Tag":      {"by its tag", "r.example.com:5000/acme/upf:1", ImageReference{Host: "r.example.com:5000", Repository: "acme/upf", Tag: "1"}, false},
		"Digest":   {"by its digest", "r.example.com/upf@" + digestA, ImageReference{Host: "r.example.com", Repository: "upf", Digest: digestA}, false},
		"Both":     {"a tag beside a digest", "r.example.com/upf:1@" + digestA, ImageReference{Host: "r.example.com", Repository: "upf", Tag: "1", Digest: digestA}, false},
		"NoHost":   {"which registry is meant is not known", "upf:1", ImageReference{}, true},
		"NoTag":    {"which image of it is not known", "r.example.com/upf", ImageReference{}, true},
		"NoImage":  {"a text that is not one", "r.example.com/UPF:1", ImageReference{}, true},
		"Nothing":  {"nothing at all", "", ImageReference{}, true},
		"BadPort":  {"no registry has that port", "r.example.com:99999/upf:1", ImageReference{}, true},
		"OnlyHash": {"a digest alone names no repository", digestA, ImageReference{}, true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := ParseImage(tc.image)
			if (err != nil) != tc.wrong {
				t.Fatalf("%s: %v", tc.reason, err)
			}
			if tc.want.Written = tc.image; err == nil && got != tc.want {
				t.Errorf("%s: %+v", tc.reason, got)
			}
		})
	}
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	var e *Error
	if err := Usage("%q is wrong", "x"); !errors.As(err, &e) || e.Code != ExitUsage || err.Error() != `"x" is wrong` || errors.Unwrap(err) == nil {
		t.Errorf("an error in the command line is %+v", e)
	}
	if quiet := (&Error{Code: ExitNotMapped}); quiet.Error() != "" || errors.Unwrap(quiet) != nil {
		t.Errorf("what has been said is said again: %q", quiet.Error())
	}
}

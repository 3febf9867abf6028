package node

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestMissing(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		reason  string
		lacking []string
		want    []string // parts of the message, in this order; none: no error
		not     string
	}{
		"nothing": {reason: "a machine that has it all is left alone"},
		"one program": {
			reason:  "people install packages, but look for programs",
			lacking: []string{"conntrack"},
			want:    []string{"conntrack (of package conntrack)", "apt-get install -y --no-install-recommends conntrack"},
			not:     "runc",
		},
		"part of a package": {
			reason:  "half a package is as bad as none, and is named once",
			lacking: []string{"ctr", "containerd-shim-runc-v2"},
			want:    []string{"containerd-shim-runc-v2, ctr (of package containerd)", "--no-install-recommends containerd"},
			not:     "containerd containerd",
		},
		"several": {
			reason:  "one command installs everything",
			lacking: []string{"runc", "/usr/lib/cni/bridge"},
			want:    []string{"runc (of package runc)", "/usr/lib/cni/bridge (of package containernetworking-plugins)", "recommends runc containernetworking-plugins"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := missing(func(program string) (string, error) {
				if slices.Contains(test.lacking, program) {
					return "", errors.New("not found")
				}
				return "/bin/" + program, nil
			})
			if len(test.want) == 0 {
				if err != nil {
					t.Errorf("got %v: %s", err, test.reason)
				}
				return
			}
			if err == nil {
				t.Fatalf("no error: %s", test.reason)
			}
			rest := err.Error()
			for _, want := range test.want {
				_, after, ok := strings.Cut(rest, want)
				if !ok {
					t.Fatalf("the message lacks %q: %s\n%v", want, test.reason, err)
				}
				rest = after
			}
			if test.not != "" && strings.Contains(err.Error(), test.not) {
				t.Errorf("the message has %q: %s\n%v", test.not, test.reason, err)
			}
		})
	}
}

package main

import (
	"errors"
	"flag"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestParse(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		reason string
		args   []string // the first one is the command
		want   options
		wrong  bool
	}{
		"build": {reason: "it needs no cluster", args: []string{"build"}},
		"build for a node": {
			reason: "the node's binaries are built only when asked for", args: []string{"build", "--node"}, want: options{node: true},
		},
		"up": {
			reason: "a control plane is the default", args: []string{"up", "--dir", "/d"}, want: options{dir: "/d", timeout: 2 * time.Minute},
		},
		"up with a node": {
			reason: "end-to-end tests need pods that run", args: []string{"up", "--node", "--dir", "/d"},
			want: options{dir: "/d", node: true, timeout: 2 * time.Minute},
		},
		"down": {reason: "it finds out itself what is there", args: []string{"down", "--dir", "/d"}, want: options{dir: "/d"}},
		"down with a node": {
			reason: "whether there is a node is not the caller's to say", args: []string{"down", "--node", "--dir", "/d"}, wrong: true,
		},
		"load-image": {
			reason: "several at once", args: []string{"load-image", "--dir", "/d", "/a.tar", "/b.tar"},
			want: options{dir: "/d", archives: []string{"/a.tar", "/b.tar"}},
		},
		"load-image of nothing": {reason: "a forgotten path must not pass", args: []string{"load-image", "--dir", "/d"}, wrong: true},
		"up with an argument":   {reason: "a forgotten --dir must not pass", args: []string{"up", "/d"}, wrong: true},
		"kubeconfig of nothing": {reason: "there may be several clusters", args: []string{"kubeconfig"}, wrong: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := parse(test.args[0], test.args[1:])
			if wrong := errors.Is(err, errUsage) && !errors.Is(err, flag.ErrHelp); wrong != test.wrong {
				t.Fatalf("got %v: %s", err, test.reason)
			}
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(options{}), cmpopts.EquateEmpty()); diff != "" && !test.wrong {
				t.Errorf("%s (-want +got):\n%s", test.reason, diff)
			}
		})
	}
}

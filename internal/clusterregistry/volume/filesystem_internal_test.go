package volume

import (
	"strings"
	"testing"
	"time"
)

func TestStaleBy(t *testing.T) {
	for _, tt := range []struct {
		reason, options string
		want            time.Duration
	}{
		{"the defaults of nfs(5)", "rw,vers=4.2", 60 * time.Second},
		{"one bound for all", "rw,actimeo=5", 5 * time.Second},
		{"the longer of two", "acregmax=3,acdirmax=10", 10 * time.Second},
		{"folders stay at their default", "acregmax=3", 60 * time.Second},
		{"no cache still has a second, which clocks can have", "noac", time.Second},
		{"the last one counts", "noac,actimeo=7", 7 * time.Second},
		{"what is not a number is not understood", "actimeo=x", 60 * time.Second},
		{"below nothing", "actimeo=-1", 60 * time.Second},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			if got := staleBy(tt.options); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

func TestOptionsFor(t *testing.T) {
	mounts := `22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
29 22 0:49 / /merged rw - overlay overlay rw,lowerdir=` + strings.Repeat("/layer:", 1<<14) + `
30 22 0:50 / /var/lib rw - nfs4 server:/a rw,actimeo=9
31 22 0:51 / /var/lib/my\040registry rw shared:1 - nfs4 server:/b rw,actimeo=3
32 22 0:52 / /var/lib/my\040registry rw shared:1 - nfs4 server:/c rw,actimeo=4
short line
`
	for _, tt := range []struct{ reason, root, want string }{
		{"the mount above", "/var/lib/registry", "rw,rw,actimeo=9"},
		{"the root", "/srv", "rw,relatime,rw"},
		{"a blank in the name, and a mount over a mount", "/var/lib/my registry/x", "rw,rw,actimeo=4"},
		{"a name that only begins like a mount", "/var/library", "rw,relatime,rw"},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			if got := optionsFor(mounts, tt.root); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

// The mount of a folder must be found in the mount table of this process.
func TestMountOptionsOfThisProcess(t *testing.T) {
	options := strings.Split(mountOptions(t.TempDir()), ",")
	if options[0] != "rw" && options[0] != "ro" {
		t.Errorf("the options are %q, want the access first", options)
	}
}

// The helpers of the probe must accept what the registry relies on, and reject everything else.
func TestProbesSayWhatTheyFound(t *testing.T) {
	v, err := Open(t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Write("/a", []byte("1"), false); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		what string
		err  error
		says string // "" for none
	}{
		{"the content", v.same("/a", "1"), ""},
		{"other content", v.same("/a", "2"), `it has "1" in place of "2"`},
		{"no content", v.same("/b", "1"), "no such file"},
		{"a name without a file", v.absent("/b"), ""},
		{"a file", v.absent("/a"), "it found a file"},
		{"a new name", taken(renameNew(v.at("/a"), v.at("/c"))), "it replaced it"},
		{"no file", taken(renameNew(v.at("/a"), v.at("/d"))), "no such file"},
	} {
		if (tt.err == nil) != (tt.says == "") || tt.err != nil && !strings.Contains(tt.err.Error(), tt.says) {
			t.Errorf("%s: %v, want %q", tt.what, tt.err, tt.says)
		}
	}
}

package volume_test

import (
	"errors"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volumetest"
)

func TestReserve(t *testing.T) {
	t.Parallel()
	v := open(t, volume.Options{})
	u, err := v.Usage()
	if err != nil || u.Free < 1<<30 {
		t.Skip("the folder of the tests is almost full:", err)
	}
	for range 2 { // the second call finds the reserve
		if err := v.Reserve(); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(files(t, v)); got != 64 {
		t.Fatalf("it has %d files", got)
	}
	full := fmt.Errorf("doing it: %w", unix.EDQUOT)
	for _, tt := range []struct {
		reason  string
		answers []error
		want    error
		left    int
	}{
		{"there is room", []error{nil}, nil, 64},
		{"it fails for something else", []error{unix.EIO}, unix.EIO, 64},
		{"the reserve makes room", []error{full, nil}, nil, 0},
		{"another process has used the reserve", []error{full, nil}, nil, 0},
		{"the reserve is not enough", []error{full, full}, full, 0},
	} {
		calls := 0
		err := v.WithReserve(func() error { calls++; return tt.answers[calls-1] })
		if !errors.Is(err, tt.want) || calls != len(tt.answers) || len(files(t, v)) != tt.left {
			t.Errorf("%s: %v after %d calls, with %d files left", tt.reason, err, calls, len(files(t, v)))
		}
	}
	if err := v.Reserve(); err != nil || len(files(t, v)) != 64 {
		t.Errorf("it is not made again: %v", err)
	}
}

// A full or read-only volume must still return its time, and Probe must tell the two states apart.
func TestAVolumeWithoutRoom(t *testing.T) {
	root := volumetest.Small(t, "size=1m")
	v, err := volume.Open(root, volume.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Probe(); err != nil {
		t.Fatal(err)
	}
	before, err := v.Now()
	for i := 0; err == nil; i++ {
		err = v.Write(fmt.Sprint("/filler", i), make([]byte, 4096), true)
	}
	if err := v.Probe(); !volume.Full(err) || !volume.Unwritable(err) {
		t.Errorf("a probe of a full volume says %v", err)
	}
	if err := v.Reserve(); err != nil {
		t.Errorf("a full volume has no reserve, and that is no error: %v", err)
	}
	if now, err := v.Now(); err != nil || !now.After(before) {
		t.Errorf("it is %s, and was %s, %v", now, before, err)
	}
	if err := unix.Mount("", root, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	if err := v.Probe(); volume.Full(err) || !volume.Unwritable(err) {
		t.Errorf("a probe of a volume that is read-only says %v", err)
	}
}

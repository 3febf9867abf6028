package volume_test

import (
	"errors"
	"os"
	"testing"

	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
)

func TestLock(t *testing.T) {
	v := open(t, volume.Options{})
	appendTo := func(want int64) *os.File {
		t.Helper()
		f, size, err := v.Append("/a/b/data")
		if err != nil || size != want {
			t.Fatal(size, err)
		}
		return f
	}
	first, second := appendTo(0), appendTo(0)
	if err := volume.Lock(first); err != nil {
		t.Fatal(err)
	}
	if err := volume.Lock(second); !errors.Is(err, volume.ErrLocked) {
		t.Error("a file is locked twice:", err)
	}
	if _, err := first.WriteString("123"); err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := volume.Lock(second); err != nil {
		t.Error("a file that is closed is locked:", err)
	}
	third := appendTo(3)
	if err := errors.Join(second.Close(), third.Close()); err != nil {
		t.Error(err)
	}
}

package storage

import (
	"context"
	"errors"
	"os"
	"testing"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"

	"github.com/nfo-operator/nfo/internal/clusterregistry/layout"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
)

// anUpload begins an upload. It returns the path of its data, the limit that
// records refusals, and a function that opens the upload like a request.
func anUpload(t *testing.T) (d *Driver, data string, limit *Limit, open func() storagedriver.FileWriter) {
	t.Helper()
	v, err := volume.Open(t.TempDir(), volume.Options{})
	if err != nil {
		t.Fatal(err)
	}
	d, data = New(Options{Volume: v}), layout.UploadsOf("r")+"/id/data"
	if err := v.Write(layout.StartOf(data), []byte("now"), true); err != nil {
		t.Fatal(err)
	}
	ctx, limit := d.Limit(t.Context(), nil)
	return d, data, limit, func() storagedriver.FileWriter {
		w, err := d.Writer(ctx, data, true)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
}

// ways are all operations by which a request changes an upload.
var ways = []struct {
	name string
	do   func(ctx context.Context, w storagedriver.FileWriter) error
}{
	{"write", func(_ context.Context, w storagedriver.FileWriter) error {
		n, err := w.Write([]byte("X"))
		if n > 0 && err != nil {
			return errors.New("it has written, and fails")
		}
		return err
	}},
	{"commit", func(ctx context.Context, w storagedriver.FileWriter) error { return w.Commit(ctx) }},
	{"cancel", func(ctx context.Context, w storagedriver.FileWriter) error { return w.Cancel(ctx) }},
}

func TestAnUploadHasOneWriter(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			d, data, limit, open := anUpload(t)
			first, second, third := open(), open(), open()
			if _, err := first.Write(nil); err != nil {
				t.Fatal(err)
			}
			if err := way.do(t.Context(), second); !errors.Is(err, errOtherWriter) {
				t.Error("while another one writes, whose bytes have not come:", err)
			}
			if why := limit.Refused(); !errors.Is(why, ErrBusy) {
				t.Error("the client is not told to try again:", why)
			}
			if n, err := first.Write([]byte("1")); n != 1 || err != nil {
				t.Fatal(n, err)
			}
			if err := first.Close(); err != nil {
				t.Fatal(err)
			}
			if err := way.do(t.Context(), third); !errors.Is(err, errOtherWriter) {
				t.Error("behind bytes that have come since:", err)
			}
			if content, err := d.volume.ReadFile(data, 10); err != nil || string(content) != "1" {
				t.Errorf("%q %v", content, err)
			}
			_ = second.Close()
			_ = third.Close()
			if err := way.do(t.Context(), open()); err != nil {
				t.Error("after the others:", err)
			}
		})
	}
}

// An upload that was removed by a collection, and perhaps begun
// again by another request, must not be changed by its old writer.
func TestAnUploadThatHasGone(t *testing.T) {
	for _, way := range ways[1:] {
		for _, other := range []bool{false, true} {
			d, data, _, open := anUpload(t)
			w := open()
			if err := os.Remove(d.volume.Root() + data); err != nil {
				t.Fatal(err)
			}
			if other {
				if err := d.volume.Write(data, nil, true); err != nil {
					t.Fatal(err)
				}
			}
			if err := way.do(t.Context(), w); !errors.Is(err, errOtherWriter) {
				t.Errorf("%s, another in its place %t: %v", way.name, other, err)
			}
			if _, err := d.volume.Stat(data); other && err != nil {
				t.Errorf("%s has removed another file: %v", way.name, err)
			}
			if _, err := d.volume.Stat(layout.StartOf(data)); err != nil {
				t.Errorf("%s has ended another upload: %v", way.name, err)
			}
		}
	}
}

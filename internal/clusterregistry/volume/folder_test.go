package volume_test

import (
	"errors"
	"io/fs"
	"os"
	"testing"

	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
)

func TestAFolderFindsWhatTheVolumeFinds(t *testing.T) {
	v := open(t, volume.Options{})
	write(t, v, "/a/there/file", "1234")
	write(t, v, "/a/hidden/file", "12")
	early := v.Folder("/none")
	defer early.Close()
	f := v.Folder("/a")
	defer f.Close()
	if _, err := v.Hide("1", "/a/hidden/file"); err != nil {
		t.Fatal(err)
	}
	write(t, v, "/none/later", "123")
	for name, tt := range map[string]struct {
		f      volume.Folder
		file   string
		want   int64
		absent bool
	}{
		"there":                   {f, "there/file", 4, false},
		"taken back":              {f, "hidden/file", 2, false},
		"missing":                 {f, "there/other", 0, true},
		"the folder is made late": {early, "later", 3, false},
		"missing with its folder": {early, "other", 0, true},
	} {
		size, err := tt.f.Size(tt.file)
		if size != tt.want || errors.Is(err, fs.ErrNotExist) != tt.absent || (err != nil) != tt.absent {
			t.Errorf("%s: %d bytes, %v; want %d", name, size, err, tt.want)
		}
	}

	if err := os.RemoveAll(v.Root() + "/a"); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Size("there/file"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("found in a folder that was removed: %v", err)
	}
	write(t, v, "/a/there/file", "12345")
	if size, err := f.Size("there/file"); size != 5 || err != nil {
		t.Errorf("a folder that was made again: %d, %v; want 5", size, err)
	}
}

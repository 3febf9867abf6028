package ocilayout_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The incomplete files of killed runs must not fill the disk. Those of a run that may still write, and other files, stay.
func TestIncompleteFilesOfKilledRunsAreDeleted(t *testing.T) {
	t.Parallel()
	const random = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	forms(t, func(t *testing.T, name string, archive bool) {
		_, c := mirror(t)
		i := image(t, c, amf)
		if _, err := write(t, name, archive, i); err != nil {
			t.Fatal(err)
		}
		dir, prefix := name, ".part-"
		if archive {
			dir, prefix = filepath.Dir(name), ".part-"+filepath.Base(name)+"-"
		}
		long, short := time.Now().Add(-2*time.Hour), time.Now().Add(-50*time.Minute)
		for file, at := range map[string]time.Time{
			prefix + random: long, prefix + "A" + random[1:25] + "7": short, prefix + "notes": long, prefix + random + "A": long, ".part-other-" + random: long, random: long,
		} {
			file = filepath.Join(dir, file)
			if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Chtimes(file, at, at)); err != nil {
				t.Fatal(err)
			}
		}
		folder := filepath.Join(dir, prefix+"B"+random[1:])
		if err := errors.Join(os.Mkdir(folder, 0o700), os.Chtimes(folder, long, long)); err != nil {
			t.Fatal(err)
		}
		if _, err := write(t, name, archive, i); err != nil {
			t.Fatal(err)
		}
		gone := map[string]bool{}
		for _, file := range []string{prefix + random, prefix + "A" + random[1:25] + "7", prefix + "notes", prefix + random + "A", ".part-other-" + random, random, filepath.Base(folder)} {
			if _, err := os.Lstat(filepath.Join(dir, file)); errors.Is(err, fs.ErrNotExist) {
				gone[file] = true
			}
		}
		if diff := cmp.Diff(map[string]bool{prefix + random: true}, gone); diff != "" {
			t.Errorf("deleted are: -want +got\n%s", diff)
		}
	})
}

// Other programs of other users may have to read a layout, and a private one stays private.
func TestAnArchiveHasTheModeOfOtherFiles(t *testing.T) {
	t.Parallel()
	_, c := mirror(t)
	i := image(t, c, amf)
	dir := t.TempDir()
	usual := filepath.Join(dir, "usual")
	file, err := os.OpenFile(usual, os.O_CREATE|os.O_EXCL, 0o666)
	if err == nil {
		err = file.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	modeOf := func(name string) fs.FileMode {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		return info.Mode().Perm()
	}
	name := filepath.Join(dir, "site.tar")
	if _, err := write(t, name, true, i); err != nil {
		t.Fatal(err)
	}
	if got, want := modeOf(name), modeOf(usual); got != want {
		t.Errorf("a new archive has the mode %o, want %o", got, want)
	}
	for _, mode := range []fs.FileMode{0o600, 0o644, 0o666} {
		if err := os.Chmod(name, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := write(t, name, true, i); err != nil {
			t.Fatal(err)
		}
		if got := modeOf(name); got != mode {
			t.Errorf("the mode %o became %o", mode, got)
		}
	}
}

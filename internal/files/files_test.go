package files_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/nfo-operator/nfo/internal/files"
)

const (
	secret = "a private key"
	most   = 20
)

// place makes a folder with a file "chart", and outside of it a file "secret".
func place(t *testing.T) (folder, outside string) {
	t.Helper()
	folder, outside = filepath.Join(t.TempDir(), "folder"), filepath.Join(t.TempDir(), "secret")
	if err := errors.Join(os.Mkdir(folder, 0o700), os.WriteFile(outside, []byte(secret), 0o600), os.WriteFile(filepath.Join(folder, "chart"), []byte("chart"), 0o600)); err != nil {
		t.Fatal(err)
	}
	return folder, outside
}

func TestReadBeside(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason string
		make   func(folder, outside, beside string) error
		want   error
	}{
		"File":     {"it is what it is called", func(_, _, b string) error { return os.WriteFile(b, []byte("signed"), 0o600) }, nil},
		"Most":     {"it is just small enough", func(_, _, b string) error { return os.WriteFile(b, make([]byte, most), 0o600) }, nil},
		"None":     {"it need not be there", func(_, _, _ string) error { return nil }, fs.ErrNotExist},
		"Link":     {"nobody named what it leads to", func(_, outside, b string) error { return os.Symlink(outside, b) }, files.ErrNotRegular},
		"LinkHere": {"nor a file of the same folder", func(_, _, b string) error { return os.Symlink("chart", b) }, files.ErrNotRegular},
		"LinkGone": {"nor what is not there", func(_, _, b string) error { return os.Symlink("gone", b) }, files.ErrNotRegular},
		"Folder":   {"a folder has no content", func(_, _, b string) error { return os.Mkdir(b, 0o700) }, files.ErrNotRegular},
		"Pipe":     {"it would be waited for forever", func(_, _, b string) error { return syscall.Mkfifo(b, 0o600) }, files.ErrNotRegular},
		"Large":    {"it is read into memory", func(_, _, b string) error { return os.WriteFile(b, make([]byte, most+1), 0o600) }, files.ErrTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder, outside := place(t)
			if err := tc.make(folder, outside, filepath.Join(folder, "beside")); err != nil {
				t.Fatal(err)
			}
			data, err := files.ReadBeside(filepath.Join(folder, "chart"), "beside", most)
			if !errors.Is(err, tc.want) || string(data) == secret {
				t.Errorf("%s: %q, %v, want %v", tc.reason, data, err, tc.want)
			}
		})
	}
}

func TestReadBesideDoesNotClimb(t *testing.T) {
	t.Parallel()
	folder, outside := place(t)
	relative, err := filepath.Rel(folder, outside)
	if err != nil {
		t.Fatal(err)
	}
	if data, err := files.ReadBeside(filepath.Join(folder, "chart"), relative, most); err == nil {
		t.Errorf("%s is outside of the folder, and was read: %q", relative, data)
	}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	folder, outside := place(t)
	link, pipe := filepath.Join(folder, "link"), filepath.Join(folder, "pipe")
	if err := errors.Join(os.Symlink(outside, link), syscall.Mkfifo(pipe, 0o600)); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		reason, file string
		want         error
	}{
		"File":   {"it was named", outside, nil},
		"Link":   {"so was this", link, nil},
		"None":   {"it is not there", filepath.Join(folder, "none"), fs.ErrNotExist},
		"Folder": {"a folder has no content", folder, files.ErrNotRegular},
		"Pipe":   {"it would be waited for forever", pipe, files.ErrNotRegular},
	} {
		file, err := files.Open(tc.file)
		if !errors.Is(err, tc.want) {
			t.Errorf("%s: %s: %v, want %v", name, tc.reason, err, tc.want)
		}
		if err == nil {
			_ = file.Close()
		}
	}
}

// swapping is a file system in which a file is replaced between Stat and Open.
type swapping struct{ before, after fs.FS }

func (s swapping) Stat(name string) (fs.FileInfo, error) { return fs.Stat(s.before, name) }
func (s swapping) Open(name string) (fs.File, error)     { return s.after.Open(name) }

func TestRegular(t *testing.T) {
	t.Parallel()
	folder, outside := place(t)
	root, err := os.OpenRoot(folder)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	if err := errors.Join(os.Symlink(outside, filepath.Join(folder, "out")), os.Symlink("chart", filepath.Join(folder, "in")), syscall.Mkfifo(filepath.Join(folder, "pipe"), 0o600)); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		reason string
		opens  bool
	}{
		"chart": {"it is below the named folder", true},
		"in":    {"so is what this leads to", true},
		"out":   {"this is not", false},
		"pipe":  {"it would be waited for forever", false},
		"none":  {"it is not there", false},
	} {
		file, err := files.Regular{FS: root.FS()}.Open(name)
		if (err == nil) != tc.opens {
			t.Errorf("%s: %s: %v", name, tc.reason, err)
		}
		if err == nil {
			_ = file.Close()
		}
	}
	before, _ := place(t)
	swapped := swapping{before: os.DirFS(before), after: os.DirFS(folder)}
	if _, err := (files.Regular{FS: swapped}).Open("chart"); !errors.Is(err, files.ErrNotRegular) {
		t.Errorf("a file that is replaced between look and open: %v, want ErrNotRegular", err)
	}
}

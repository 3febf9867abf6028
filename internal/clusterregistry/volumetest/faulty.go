package volumetest

import (
	"io/fs"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
)

// Faulty is a view that fails for names with a part, once it is on.
type Faulty struct {
	Part string
	On   atomic.Bool
}

func (f *Faulty) fails(name string) bool { return f.On.Load() && strings.Contains(name, f.Part) }

// Lstat is os.Lstat, or fails.
func (f *Faulty) Lstat(name string) (fs.FileInfo, error) {
	if f.fails(name) {
		return nil, &fs.PathError{Op: "lstat", Path: name, Err: syscall.EIO}
	}
	return os.Lstat(name)
}

// ReadDir is os.ReadDir, or fails.
func (f *Faulty) ReadDir(name string) ([]fs.DirEntry, error) {
	if f.fails(name) {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: syscall.EIO}
	}
	return os.ReadDir(name)
}

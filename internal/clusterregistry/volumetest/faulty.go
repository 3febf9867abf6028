package volumetest

import (
	"io/fs"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
)

// Faulty is a view that fails with EIO for names that contain Part while On is set.
type Faulty struct {
	Part string
	On   atomic.Bool
}

func (f *Faulty) fails(name string) bool { return f.On.Load() && strings.Contains(name, f.Part) }

// Lstat is os.Lstat, or fails with EIO.
func (f *Faulty) Lstat(name string) (fs.FileInfo, error) {
	if f.fails(name) {
		return nil, &fs.PathError{Op: "lstat", Path: name, Err: syscall.EIO}
	}
	return os.Lstat(name)
}

// ReadDir is os.ReadDir, or fails with EIO.
func (f *Faulty) ReadDir(name string) ([]fs.DirEntry, error) {
	if f.fails(name) {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: syscall.EIO}
	}
	return os.ReadDir(name)
}

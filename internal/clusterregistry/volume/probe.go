package volume

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Probe tests what the registry depends on: a file can be written, flushed, renamed over another file, read back and
// locked; a rename without replacement replaces nothing; names differ by case. The error says what the volume cannot
// do. Unwritable reports true for it only if the volume can still be read. Probe can hang on a network file system
// whose server is unreachable: call it in a goroutine that may hang.
func (v *Volume) Probe() error {
	err := v.probe()
	if Unwritable(err) {
		if _, failure := v.List("/"); failure != nil {
			return failure
		}
	}
	return err
}

func (v *Volume) probe() error {
	if err := os.MkdirAll(v.at(Scratch), 0o777); err != nil {
		return fmt.Errorf("probing the volume: %w", err)
	}
	folder, err := os.MkdirTemp(v.at(Scratch), "probe-*")
	if err != nil {
		return fmt.Errorf("probing the volume: %w", err)
	}
	defer func() { _ = os.RemoveAll(folder) }()
	base := Scratch + folder[len(v.at(Scratch)):]
	for _, step := range []struct {
		act func() error
		so  string
	}{
		{func() error { return v.Write(base+"/a", []byte("1"), false) }, "write"},
		{func() error { return v.Write(base+"/a", []byte("2"), false) }, "write over a file"},
		{func() error { return v.same(base+"/a", "2") }, "read what was written"},
		{func() error { return v.Write(base+"/B", []byte("3"), false) }, "write"},
		{func() error { return v.absent(base + "/b") }, "tell names apart by case"},
		{func() error { return taken(renameNew(v.at(base+"/a"), v.at(base+"/B"))) }, "keep a file whose name another wants"},
		{func() error { return v.checkLock(base + "/B") }, "lock a file"},
		{func() error { return v.Move(base+"/a", base+"/deep/er/c") }, "rename into a new folder"},
		{func() error { return v.same(base+"/deep/er/c", "2") }, "read what was renamed"},
		{func() error { return v.absent(base + "/a") }, "rename"},
	} {
		if err := step.act(); err != nil {
			return fmt.Errorf("the volume cannot %s, which the registry needs: %w", step.so, err)
		}
	}
	return nil
}

func (v *Volume) same(path, want string) error {
	got, err := v.ReadFile(path, 16)
	if err == nil && !bytes.Equal(got, []byte(want)) {
		err = fmt.Errorf("it has %q in place of %q", got, want)
	}
	return err
}

func (v *Volume) absent(path string) error {
	_, err := v.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = errors.New("it found a file")
	}
	return err
}

func taken(err error) error {
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err == nil {
		err = errors.New("it replaced it")
	}
	return err
}

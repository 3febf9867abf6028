package volume

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

const (
	reserve = own + "/reserve"
	// reserveFiles and maxReserve are what is reserved: at a block each, room for 1,000 folders, or 64 where files run out.
	reserveFiles = 64
	maxReserve   = 4 << 20
)

// Full reports whether an error says that the volume has no room, or that its quota is used up.
func Full(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// Unwritable reports whether an error says that nothing can be written, or no upload, because the volume is full, read-only
// or without locks. What it has can be read.
func Unwritable(err error) bool {
	return Full(err) || errors.Is(err, unix.EROFS) || errors.Is(err, errors.ErrUnsupported) || errors.Is(err, unix.ENOLCK)
}

// Reserve keeps 64 files with 4 MiB in all, or a 64th of a volume below 256 MiB, for WithReserve. It makes them again
// once four times as much is free.
func (v *Volume) Reserve() error {
	there, err := v.List(reserve)
	if err != nil || len(there) >= reserveFiles {
		return err
	}
	u, err := v.Usage()
	size := min(maxReserve, u.Size/64)
	if err != nil || u.Free < 4*size || u.Files > 0 && u.FreeFiles < 4*reserveFiles {
		return err
	}
	content := make([]byte, size/reserveFiles)
	for i := range reserveFiles {
		// What is empty, or there twice, takes no room on some file systems.
		_, _ = rand.Read(content)
		if err := v.Write(fmt.Sprint(reserve, "/", i), content, true); err != nil {
			return errors.Join(err, os.RemoveAll(v.at(reserve)))
		}
	}
	return nil
}

// WithReserve does what makes room in the end, such as to hide files, or to ask for a deletion. If the volume is full, it
// does it again without the reserve, which must do no harm.
func (v *Volume) WithReserve(do func() error) error {
	err := do()
	if !Full(err) {
		return err
	}
	if failure := os.RemoveAll(v.at(reserve)); failure != nil {
		return errors.Join(err, failure)
	}
	return do()
}

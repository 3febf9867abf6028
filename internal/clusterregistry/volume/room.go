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
	// reserveFiles and maxReserve bound the reserve: at a block each
	// it has room for 1,000 folders, or for 64 if files run out.
	reserveFiles = 64
	maxReserve   = 4 << 20
)

// Full reports whether an error says that the volume has no room, or that its quota is used up.
func Full(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// Unwritable reports whether an error says that nothing, or no upload, can be written because the volume is full,
// read-only or without locks. The content of such a volume can still be read.
func Unwritable(err error) bool {
	return Full(err) || errors.Is(err, unix.EROFS) || errors.Is(err, errors.ErrUnsupported) || errors.Is(err, unix.ENOLCK)
}

// Reserve creates 64 files for WithReserve, unless they exist: 4 MiB in total, or 1/64 of a volume below 256 MiB. It
// does nothing while less than four times that size is free.
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
		// Empty files and duplicates take no space on some file systems.
		_, _ = rand.Read(content)
		if err := v.Write(fmt.Sprint(reserve, "/", i), content, true); err != nil {
			return errors.Join(err, os.RemoveAll(v.at(reserve)))
		}
	}
	return nil
}

// WithReserve calls do, which frees space in the end, for example by hiding files or requesting a deletion. If the
// volume is full, it deletes the reserve and calls do again, so do must be safe to repeat.
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

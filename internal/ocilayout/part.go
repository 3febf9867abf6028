package ocilayout

import (
	"crypto/rand"
	"os"
	"strings"
	"time"
)

const (
	// partPrefix is the prefix of the names of incomplete files.
	partPrefix = ".part-"
	// randomLetters are the characters at the end of these names, of which each name has randomLength; see rand.Text.
	randomLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	randomLength  = 26
	// partAge is the age since its last write after which an incomplete file belongs to no
	// running program: a source that sends nothing for minutes ends the writing of the file.
	partAge = time.Hour
)

// newPart creates an incomplete file, with a name that begins with prefix.
func newPart(root *os.Root, prefix string, mode os.FileMode) (name string, file *os.File, err error) {
	name = prefix + rand.Text()
	file, err = root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_RDWR, mode)
	return name, file, err
}

// clearParts deletes the incomplete files that killed runs have left in a folder. A file
// that cannot be deleted only takes room, so that there is no error: the next run tries again.
func clearParts(root *os.Root, prefix string) {
	dir, err := root.Open(".")
	if err != nil {
		return
	}
	defer func() { _ = dir.Close() }() // only read
	names, _ := dir.Readdirnames(-1)   // after an error, those that were read
	for _, name := range names {
		random, ours := strings.CutPrefix(name, prefix)
		if !ours || len(random) != randomLength || strings.Trim(random, randomLetters) != "" {
			continue
		}
		if info, err := root.Lstat(name); err == nil && info.Mode().IsRegular() && time.Since(info.ModTime()) >= partAge {
			_ = root.Remove(name)
		}
	}
}

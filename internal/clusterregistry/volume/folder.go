package volume

import "golang.org/x/sys/unix"

// Folder is a folder in which many files are looked for, in fewer steps each than from the root of the file system. It is
// for the time of one request: if another folder is put in its place, it still is the old one.
type Folder struct {
	v    *Volume
	path string
	fd   int // negative where files are looked for from the root
}

// Folder opens a folder, which need not exist. Close ends its use.
func (v *Volume) Folder(path string) Folder {
	f := Folder{v: v, path: path, fd: -1}
	if _, ok := v.view.(system); ok {
		if fd, err := unix.Open(v.at(path), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err == nil {
			f.fd = fd
		}
	}
	return f
}

// Close is to be called once.
func (f Folder) Close() {
	if f.fd >= 0 {
		_ = unix.Close(f.fd)
	}
}

// Size is the size in bytes of a file in the folder or further down. A file that is missing is taken back from the trash, as by
// Volume.Find.
func (f Folder) Size(name string) (int64, error) {
	if f.fd >= 0 {
		var s unix.Stat_t
		if unix.Fstatat(f.fd, name, &s, unix.AT_SYMLINK_NOFOLLOW) == nil {
			return s.Size, nil
		}
	}
	info, err := f.v.Find(f.path + "/" + name)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

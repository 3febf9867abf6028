package nodefiles

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
)

const (
	// temporary is the name of a file before it is complete. No runtime reads it.
	temporary = ".nfo-agent.tmp"
	// maxContent is the maximum size of a file that is read, in bytes.
	maxContent = 1 << 20
	// maxEntries bounds the entries of a folder.
	maxEntries = 4096
)

// put writes a file unless it is already correct, and reports whether it was written.
func put(root *os.Root, f file) (bool, error) {
	mode := fs.FileMode(0o644)
	if f.private {
		mode = 0o600
	}
	content := Header + f.content
	if info, err := root.Lstat(f.name); err == nil && info.Mode().IsRegular() && info.Mode().Perm() == mode {
		if has, err := read(root, f.name); err == nil && has == content {
			return false, nil
		}
	}
	folder := path.Dir(f.name)
	if err := root.MkdirAll(folder, 0o755); err != nil {
		return false, fmt.Errorf("making the folder %s: %w", folder, err)
	}
	next := path.Join(folder, temporary)
	if err := root.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("removing %s: %w", next, err)
	}
	to, err := root.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return false, fmt.Errorf("writing %s: %w", f.name, err)
	}
	_, err = io.WriteString(to, content)
	// The umask may have removed permissions that the runtime needs.
	if err = errors.Join(err, to.Chmod(mode), to.Sync(), to.Close()); err == nil {
		err = root.Rename(next, f.name)
	}
	if err != nil {
		return false, errors.Join(fmt.Errorf("writing %s: %w", f.name, err), root.Remove(next))
	}
	return true, nil
}

// read reads a file. It fails if the file is longer than maxContent.
func read(root *os.Root, name string) (string, error) {
	f, err := root.Open(name)
	if err != nil {
		return "", err
	}
	content, err := io.ReadAll(io.LimitReader(f, maxContent+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return "", err
	}
	if len(content) > maxContent {
		return "", fmt.Errorf("%s has more than %d bytes", name, maxContent)
	}
	return string(content), nil
}

// isOurs reports whether a name is a regular file that begins with the header.
func isOurs(root *os.Root, name string) (bool, error) {
	info, err := root.Lstat(name)
	if err != nil || !info.Mode().IsRegular() {
		return false, err
	}
	f, err := root.Open(name)
	if err != nil {
		return false, err
	}
	begin := make([]byte, len(Header))
	n, err := io.ReadFull(f, begin)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return n == len(Header) && string(begin) == Header, errors.Join(err, f.Close())
}

// others returns the names of files by other authors that prevent a file from being
// written: in the folder of a registry every file without the header, elsewhere only the
// file itself. For containerd they include another folder for the same registry.
func others(root *os.Root, name string) ([]string, error) {
	folder := path.Dir(name)
	if folder == registriesFolder {
		return alone(root, name)
	}
	entries, err := list(root, folder)
	if err != nil {
		return nil, err
	}
	var found []string
	// containerd also reads host_port_ for host:port, and prefers it.
	if host := path.Base(folder); strings.Contains(host, ":") {
		other := path.Join(certsFolder, strings.Replace(host, ":", "_", 1)+"_")
		if _, err := root.Lstat(other); err == nil {
			found = append(found, other)
		}
	}
	for _, entry := range entries {
		if entry == temporary {
			continue
		}
		own, err := isOurs(root, path.Join(folder, entry))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("reading %s: %w", path.Join(folder, entry), err)
		}
		if !own {
			found = append(found, path.Join(folder, entry))
		}
	}
	return found, nil
}

// alone returns the name itself if it exists and is not ours.
func alone(root *os.Root, name string) ([]string, error) {
	own, err := isOurs(root, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("reading %s: %w", name, err)
	case own:
		return nil, nil
	}
	return []string{name}, nil
}

// ours returns the names of all our files.
func ours(root *os.Root) ([]string, error) {
	registries, err := list(root, certsFolder)
	if err != nil {
		return nil, err
	}
	folders := []string{registriesFolder}
	for _, name := range registries {
		folders = append(folders, path.Join(certsFolder, name))
	}
	var found []string
	for _, folder := range folders {
		entries, err := list(root, folder)
		if err != nil {
			return nil, err
		}
		for _, entry := range entries {
			name := path.Join(folder, entry)
			if own, err := isOurs(root, name); err == nil && own {
				found = append(found, name)
			}
		}
	}
	return found, nil
}

// list returns the names in a folder, sorted; none if the folder does not exist or is not a folder.
func list(root *os.Root, folder string) ([]string, error) {
	if info, err := root.Stat(folder); err != nil || !info.IsDir() {
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return nil, fmt.Errorf("reading the folder %s: %w", folder, err)
	}
	f, err := root.Open(folder)
	if err != nil {
		return nil, fmt.Errorf("reading the folder %s: %w", folder, err)
	}
	names, err := f.Readdirnames(maxEntries + 1)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("reading the folder %s: %w", folder, err)
	}
	if len(names) > maxEntries {
		return nil, fmt.Errorf("reading the folder %s: it has more than %d entries", folder, maxEntries)
	}
	slices.SortFunc(names, strings.Compare)
	return names, nil
}

package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// sharedFiles are what programs leave, by name, in compiled-in folders that others may use too.
var sharedFiles = []string{"/var/lib/cni/results/*", "/var/log/containers/*"}

// removeTraces removes those of the shared files that name the node's folder.
func (n *Node) removeTraces() error {
	var errs []error
	for _, pattern := range n.shared {
		paths, err := filepath.Glob(pattern)
		errs = append(errs, err)
		for _, path := range paths {
			if n.isNamedIn(path) {
				errs = append(errs, os.Remove(path))
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("removing what the node left: %w", err)
	}
	return nil
}

func (n *Node) isNamedIn(path string) bool {
	text, err := os.Readlink(path)
	if err != nil { // no link, so it is what the file says that counts
		content, _ := os.ReadFile(path) // a folder, perhaps: not one of ours
		text = string(content)
	}
	return strings.Contains(text, n.dir+"/")
}

// removeSockets removes the sockets of the node's shims, whose folder may be shared with another
// containerd. Each shim has left a file that says where its socket is.
func (n *Node) removeSockets() error {
	files, err := filepath.Glob(n.Path("containerd/state/io.containerd.runtime.v2.task/*/*/address"))
	if err != nil {
		return fmt.Errorf("finding the sockets of shims: %w", err)
	}
	for _, file := range files {
		address, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("finding the sockets of shims: %w", err)
		}
		path := strings.TrimPrefix(string(address), "unix://")
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing the socket of a shim: %w", err)
		}
	}
	return nil
}

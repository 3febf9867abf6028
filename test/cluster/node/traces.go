package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// sharedFiles are patterns of files that the node's programs leave in compiled-in folders that other programs may use too.
var sharedFiles = []string{"/var/lib/cni/results/*", "/var/log/containers/*"}

// removeTraces removes the shared files that contain the path of the node's folder.
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
	if err != nil { // not a link, so its content decides
		content, _ := os.ReadFile(path) // fails for a folder, which is never the node's
		text = string(content)
	}
	return strings.Contains(text, n.dir+"/")
}

// removeSockets removes the sockets of the node's shims. Another containerd may have sockets
// in the same folder, so it reads the path of each socket from the file that the shim left.
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

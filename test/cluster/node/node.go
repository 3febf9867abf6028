package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Names and addresses of a node. The host and the pods can reach each other,
// the API server and every Service. Pods cannot reach anything beyond the host.
const (
	Host     = "node"       // the node's name in the cluster
	Address  = "172.30.0.1" // of the node and its API server
	Pods     = "172.30.1.0/24"
	Services = "10.96.0.0/16"

	// PauseImage is the image that every pod needs. Import it before the first pod starts.
	PauseImage = "localhost/nfo-pause:1"

	hostAddress = "172.30.0.2"
	groupName   = "nfo-node" // of the control group
	linkName    = "nfo-node" // of the host's network interface
	ownerLink   = "/run/nfo-node"
	folder      = "node" // in the cluster's directory

	// maxDir is the maximum length of a directory's path, in bytes: Linux allows
	// 107 bytes for the path of a socket, and this is the node's longest one.
	maxDir = 107 - len("/"+folder+"/kubelet/pod-resources/kubelet.sock")
)

// A Node is the node of one directory.
type Node struct {
	link   string   // points to the directory that has this machine's node
	shared []string // patterns of files in folders that other programs may use
	owner  string   // the cluster's directory, without symbolic links
	dir    string   // the node's folder in owner
}

// Open returns the node of a directory, which need not exist. It changes nothing.
func Open(dir string) (*Node, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("finding the directory: %w", err)
	}
	if dir, err = resolve(dir); err != nil {
		return nil, fmt.Errorf("finding the directory: %w", err)
	}
	return &Node{link: ownerLink, shared: sharedFiles, owner: dir, dir: filepath.Join(dir, folder)}, nil
}

// resolve follows the symbolic links in the part of dir that exists, because the kernel lists mounts without symbolic links.
func resolve(dir string) (string, error) {
	resolved, err := filepath.EvalSymlinks(dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return resolved, err
	}
	parent, err := resolve(filepath.Dir(dir))
	return filepath.Join(parent, filepath.Base(dir)), err
}

// Exists reports whether the directory has a node, or remains of one.
func (n *Node) Exists() bool {
	_, err := os.Lstat(n.recordPath())
	owner, _ := os.Readlink(n.link)
	return err == nil || owner == n.owner
}

// Up prepares the machine. It fails without changing anything if another directory
// has a node, or if this directory has the remains of one: call Down first.
func (n *Node) Up(ctx context.Context) error {
	if _, err := os.Lstat(n.dir); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is there already, and would be removed with the node: choose another directory", n.dir)
	}
	if err := os.Symlink(n.owner, n.link); err != nil {
		return errors.Join(n.checkOwner(), fmt.Errorf("claiming this machine for a node: %w", err))
	}
	if err := n.writeRecord(); err != nil {
		return err
	}
	if err := os.Mkdir(n.dir, 0o700); err != nil {
		return fmt.Errorf("making the node's folder: %w", err)
	}
	return n.networkUp(ctx)
}

// checkOwner returns an error if another directory has a node.
func (n *Node) checkOwner() error {
	owner, err := os.Readlink(n.link)
	if errors.Is(err, fs.ErrNotExist) || owner == n.owner {
		return nil
	}
	if err != nil {
		return fmt.Errorf("finding out whether there is a node: %w", err)
	}
	return fmt.Errorf("this machine has a node already, or its remains: end it with 'cluster down --dir %s', then try again", owner)
}

// Down ends all processes of the node and undoes all changes of
// Up. It stops at the first error, and can then be called again.
func (n *Node) Down(ctx context.Context) error {
	owner, err := os.Readlink(n.link)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("finding out whose node this machine has: %w", err)
	}
	record, err := n.readRecord()
	if err != nil {
		return err
	}
	for _, step := range n.steps(ctx, owner, record) {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// steps returns the steps of Down, in order, if this machine's node belongs to owner. Without a
// record Up has changed nothing in the directory, and the folder node in it is not the node's.
func (n *Node) steps(ctx context.Context, owner string, r record) []func() error {
	var steps []func() error
	if owner == n.owner {
		steps = append(steps,
			func() error { return endProcesses(ctx) },
			func() error { return networkDown(ctx) })
	}
	if r.Boot != "" {
		steps = append(steps, n.unmount, n.removeTraces, n.removeSockets)
	}
	if owner == n.owner {
		steps = append(steps, removeGroup, r.restoreSysctls)
	}
	if owner == n.owner || owner == "" { // otherwise the paths may belong to the other node
		steps = append(steps, r.removePaths)
	}
	if r.Boot != "" {
		steps = append(steps, n.removeFiles)
	}
	if owner == n.owner {
		steps = append(steps, func() error { return os.Remove(n.link) })
	}
	return steps
}

func (n *Node) removeFiles() error {
	if err := errors.Join(os.RemoveAll(n.dir), os.Remove(n.recordPath())); err != nil {
		return fmt.Errorf("removing the node's files: %w", err)
	}
	return nil
}

func (n *Node) recordPath() string { return n.dir + ".json" }

// Path returns the path of a file in the node's folder, which exists from Up to Down.
func (n *Node) Path(name string) string { return filepath.Join(n.dir, name) }

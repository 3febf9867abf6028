package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// What a node is called and where it is reached. The host and the pods reach each other, the
// API server and every Service; pods do not reach beyond the host.
const (
	Host     = "node"       // its name in the cluster
	Address  = "172.30.0.1" // of the node and its API server
	Pods     = "172.30.1.0/24"
	Services = "10.96.0.0/16"

	// PauseImage is what every pod starts with. It has to be imported before the first one.
	PauseImage = "localhost/nfo-pause:1"

	hostAddress = "172.30.0.2"
	groupName   = "nfo-node" // of the control group
	linkName    = "nfo-node" // of the host's network interface
	ownerLink   = "/run/nfo-node"
	folder      = "node" // in the cluster's directory

	// maxDir is how long a directory's path may be: Linux allows 107 bytes for a socket's, and
	// this is the longest below it.
	maxDir = 107 - len("/"+folder+"/kubelet/pod-resources/kubelet.sock")
)

// A Node belongs to one directory.
type Node struct {
	link   string   // names the directory whose node the machine has
	shared []string // patterns of files that are not the node's alone
	owner  string   // the cluster's directory, without symbolic links
	dir    string   // the node's folder in it
}

// Open names the node of a directory, which need not exist. It changes nothing.
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

// resolve follows symbolic links, which the kernel's books have none of, as far as dir exists.
func resolve(dir string) (string, error) {
	resolved, err := filepath.EvalSymlinks(dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return resolved, err
	}
	parent, err := resolve(filepath.Dir(dir))
	return filepath.Join(parent, filepath.Base(dir)), err
}

// Exists says whether the directory has a node, or remains of one.
func (n *Node) Exists() bool {
	_, err := os.Lstat(n.recordPath())
	owner, _ := os.Readlink(n.link)
	return err == nil || owner == n.owner
}

// Up prepares the machine. It fails without a change if another directory has a node, or this
// one the remains of one: call Down before.
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

// checkOwner fails if another directory has a node.
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

// Down ends all processes of the node and gives back what it took. It stops at what fails, and
// can then be tried again.
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

// steps are what Down does, in order, if the machine has a node of owner. Without a record Up has
// made nothing, and the folder is somebody else's.
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
	if owner == n.owner || owner == "" { // else the paths may be that other node's by now
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

// Path gives the path of a file in the node's folder, which is there from Up to Down.
func (n *Node) Path(name string) string { return filepath.Join(n.dir, name) }

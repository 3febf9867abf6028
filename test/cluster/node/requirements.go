package node

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// cniPlugins is the folder in which Debian installs the network plugins.
const cniPlugins = "/usr/lib/cni"

// A requirement is a Debian package and the programs of it that a node runs.
type requirement struct {
	pkg      string
	programs []string
}

var requirements = []requirement{
	{"containerd", []string{"containerd", "containerd-shim-runc-v2", "ctr"}},
	{"runc", []string{"runc"}},
	{"iptables", []string{"iptables", "iptables-save", "iptables-restore"}},
	{"conntrack", []string{"conntrack"}},
	{"iproute2", []string{"ip"}},
	{"containernetworking-plugins", []string{cniPlugins + "/bridge", cniPlugins + "/host-local", cniPlugins + "/loopback", cniPlugins + "/portmap"}},
	{"util-linux", []string{"nsenter", "unshare"}},
	{"mount", []string{"mount", "umount"}},
}

// Check returns an error that says why this machine or this user cannot run a node.
func (n *Node) Check() error {
	if os.Geteuid() != 0 {
		return errors.New("a node needs root, for it makes namespaces and mounts: try again as root")
	}
	if len(n.owner) > maxDir {
		return fmt.Errorf("%s has %d characters, and the sockets in it leave room for %d: choose another directory", n.owner, len(n.owner), maxDir)
	}
	// After `su`, root's PATH may lack the folders with root's programs.
	if err := os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin"); err != nil {
		return fmt.Errorf("looking for programs: %w", err)
	}
	if err := missing(exec.LookPath); err != nil {
		return err
	}
	return n.checkOwner()
}

// missing returns an error unless find finds all required programs.
func missing(find func(string) (string, error)) error {
	var packages, lines []string
	for _, r := range requirements {
		var lacking []string
		for _, program := range r.programs {
			if _, err := find(program); err != nil {
				lacking = append(lacking, program)
			}
		}
		if len(lacking) > 0 {
			packages = append(packages, r.pkg)
			lines = append(lines, fmt.Sprintf("  %s (of package %s)", strings.Join(lacking, ", "), r.pkg))
		}
	}
	if len(packages) == 0 {
		return nil
	}
	return fmt.Errorf("a node needs programs that this machine lacks:\n%s\non Debian install them with\n  apt-get install -y --no-install-recommends %s",
		strings.Join(lines, "\n"), strings.Join(packages, " "))
}

package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/cgroups/manager"
)

// endIn is how long killed processes may take to end. They need milliseconds, unless they wait for a disk.
const endIn = 15 * time.Second

// group returns the control group at path, in all hierarchies of the machine.
func group(path string) (cgroups.Manager, error) {
	g, err := manager.New(&cgroups.Cgroup{Path: path, Resources: &cgroups.Resources{}})
	if err != nil {
		return nil, fmt.Errorf("finding the control group: %w", err)
	}
	return g, nil
}

// Adopt moves a process into the node's control group. The processes
// that it starts afterwards are in that group too, and cannot leave it.
func (n *Node) Adopt(pid int) error {
	g, err := group("/" + groupName + "/system") // next to the kubelet's group for pods
	if err != nil {
		return err
	}
	if err := g.Apply(pid); err != nil {
		return fmt.Errorf("putting process %d into the node's control group: %w", pid, err)
	}
	return nil
}

// endProcesses kills every process in the node's control group, containers and their shims included.
func endProcesses(ctx context.Context) error {
	g, err := group("/" + groupName)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, endIn)
	defer cancel()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for g.Exists() {
		pids, err := g.GetAllPids()
		if err != nil && !errors.Is(err, os.ErrNotExist) { // a subgroup was removed meanwhile
			return fmt.Errorf("finding the node's processes: %w", err)
		}
		if err == nil && len(pids) == 0 {
			return nil
		}
		for _, pid := range pids {
			if err := kill(pid); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("killing the node's processes %v: %w", pids, ctx.Err())
		case <-ticker.C:
		}
	}
	return nil
}

// kill ends the process if it belongs to the node. os.FindProcess pins the process, and kill checks
// its group only afterwards, so that it never ends another process that gets the same number.
func kill(pid int) error {
	process, err := os.FindProcess(pid)
	if err != nil {
		return fmt.Errorf("finding process %d: %w", pid, err)
	}
	defer process.Release() //nolint:errcheck // it only gives a handle back
	if !inGroup(pid) {
		return nil
	}
	if err := process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("killing process %d: %w", pid, err)
	}
	return nil
}

func inGroup(pid int) bool {
	groups, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cgroup"))
	return err == nil && strings.Contains(string(groups), ":/"+groupName+"/")
}

func removeGroup() error {
	g, err := group("/" + groupName)
	if err != nil {
		return err
	}
	if err := g.Destroy(); err != nil {
		return fmt.Errorf("removing the node's control group: %w", err)
	}
	return nil
}

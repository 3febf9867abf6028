package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// sysctls are the kernel parameters, below /proc/sys, that a kubelet changes for the whole machine.
var sysctls = []string{
	"vm/overcommit_memory", "vm/panic_on_oom",
	"kernel/panic", "kernel/panic_on_oops",
	"kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes",
}

// compiledIn are paths that no setting can change. sharedFolders are their parent folders, which other programs may use too.
var (
	compiledIn = []string{
		"/run/containerd/s", // sockets of shims
		"/run/xtables.lock",
		"/var/lib/cni/results",
		"/var/lib/kubelet/device-plugins/kubelet.sock",
		"/var/lib/kubelet/device-plugins",
		"/var/log/containers",
	}
	sharedFolders = []string{"/run/containerd", "/run/mount", "/var/lib/cni", "/var/lib/kubelet"}
)

// A record has the state to which Down restores the machine. Up writes it before it changes anything.
type record struct {
	Boot    string            // the kernel's ID of this boot: parameters are reset by a reboot
	Sysctls map[string]string // their values before Up
	Trees   []string          // the compiledIn paths that did not exist before Up
	Folders []string          // the sharedFolders that did not exist before Up
}

func (n *Node) writeRecord() error {
	boot, err := bootID()
	if err != nil {
		return err
	}
	r := record{Boot: boot, Sysctls: map[string]string{}, Trees: absent(compiledIn), Folders: absent(sharedFolders)}
	for _, key := range sysctls {
		value, err := os.ReadFile(filepath.Join("/proc/sys", key))
		if err != nil {
			return fmt.Errorf("reading the kernel's parameters: %w", err)
		}
		r.Sysctls[key] = strings.TrimSpace(string(value))
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("writing what to restore: %w", err)
	}
	temp := n.recordPath() + ".new"
	if err := os.WriteFile(temp, text, 0o600); err != nil {
		return fmt.Errorf("writing what to restore: %w", err)
	}
	return os.Rename(temp, n.recordPath())
}

// readRecord returns an empty record if none exists, because Up has then changed nothing.
func (n *Node) readRecord() (record, error) {
	var r record
	text, err := os.ReadFile(n.recordPath())
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return r, fmt.Errorf("reading what to restore: %w", err)
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return r, fmt.Errorf("reading what to restore from %s: %w", n.recordPath(), err)
	}
	return r, nil
}

func (r record) restoreSysctls() error {
	boot, err := bootID()
	if err != nil || boot != r.Boot {
		return err
	}
	var errs []error
	for key, value := range r.Sysctls {
		path := filepath.Join("/proc/sys", key)
		if now, err := os.ReadFile(path); err == nil && strings.TrimSpace(string(now)) == value {
			continue
		}
		if err := os.WriteFile(path, []byte(value), 0o644); err != nil {
			errs = append(errs, fmt.Errorf("restoring a parameter of the kernel: %w", err))
		}
	}
	return errors.Join(errs...)
}

func absent(paths []string) []string {
	return slices.DeleteFunc(slices.Clone(paths), func(path string) bool {
		_, err := os.Lstat(path)
		return !errors.Is(err, fs.ErrNotExist)
	})
}

// removePaths removes the compiledIn paths that did not exist before Up, and
// those of their parent folders that did not exist either and are empty.
func (r record) removePaths() error {
	var errs []error
	for _, path := range r.Trees {
		if err := os.RemoveAll(path); err != nil {
			errs = append(errs, fmt.Errorf("removing what the node left: %w", err))
		}
	}
	for _, path := range r.Folders {
		_ = os.Remove(path) // fails, as it should, if the folder is not empty
	}
	return errors.Join(errs...)
}

func bootID() (string, error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("telling this boot from others: %w", err)
	}
	return strings.TrimSpace(string(id)), nil
}

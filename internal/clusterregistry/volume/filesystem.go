package volume

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Kind is a type of file system that the registry treats in its own way.
type Kind string

const (
	// Local looks the same to all processes that use it.
	Local Kind = "local"
	// NFS shows the changes of other clients with a delay that its mount options bound.
	NFS Kind = "NFS"
	// SMB has written wrong content under load. It is refused unless the administrator insists.
	SMB Kind = "SMB"
	// Unknown is treated as NFS with its default options.
	Unknown Kind = "unknown"
)

// defaultStale is how long an NFS client may by default cache attributes and missing names: acregmax and acdirmax in nfs(5).
const defaultStale = 60 * time.Second

// local has the statfs(2) magic numbers of file systems that only one kernel uses at a time.
var local = map[int64]bool{
	unix.EXT4_SUPER_MAGIC: true, unix.XFS_SUPER_MAGIC: true, unix.BTRFS_SUPER_MAGIC: true, unix.TMPFS_MAGIC: true,
	unix.OVERLAYFS_SUPER_MAGIC: true, unix.F2FS_SUPER_MAGIC: true, 0x2fc12fc1 /* ZFS */ : true,
}

// fileSystemOf returns the file system of a folder, and how old the state that a process sees of it can be.
func fileSystemOf(root string) (Kind, time.Duration, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(root, &s); err != nil {
		return "", 0, fmt.Errorf("asking for the file system of the registry's folder: %w", err)
	}
	switch magic := int64(uint32(s.Type)); {
	case local[magic]:
		return Local, 0, nil
	case magic == unix.NFS_SUPER_MAGIC:
		return NFS, staleBy(mountOptions(root)), nil
	case magic == unix.CIFS_SUPER_MAGIC || magic == unix.SMB2_SUPER_MAGIC || magic == unix.SMB_SUPER_MAGIC:
		return SMB, defaultStale, nil
	}
	return Unknown, defaultStale, nil
}

// mountOptions returns the options of the mount that a folder is on, or "" if they cannot be read.
func mountOptions(root string) string {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return ""
	}
	return optionsFor(string(mounts), root)
}

// optionsFor parses proc_pid_mountinfo(5). It uses the longest mount point
// that contains the folder, and the last of several with the same length.
func optionsFor(mounts, root string) (options string) {
	longest := -1
	for line := range strings.Lines(mounts) {
		fields := strings.Fields(line)
		if len(fields) < 10 {
			continue
		}
		point := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(fields[4])
		inside := root == point || strings.HasPrefix(root, strings.TrimSuffix(point, "/")+"/")
		if inside && len(point) >= longest {
			longest, options = len(point), fields[5]+","+fields[len(fields)-1]
		}
	}
	return options
}

// staleBy returns how old the view of an NFS client with these
// mount options can be: nfs(5), "Data and metadata coherence".
func staleBy(options string) time.Duration {
	regular, folder := defaultStale, defaultStale
	for _, option := range strings.Split(options, ",") {
		name, value, _ := strings.Cut(option, "=")
		seconds, err := strconv.Atoi(value)
		bound := time.Duration(seconds) * time.Second
		switch {
		case name == "noac":
			regular, folder = 0, 0
		case err != nil || seconds < 0:
		case name == "actimeo":
			regular, folder = bound, bound
		case name == "acregmax":
			regular = bound
		case name == "acdirmax":
			folder = bound
		}
	}
	return max(regular, folder, time.Second)
}

package node

import (
	"fmt"
	"slices"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// unmount unmounts all that is mounted in the node's folder, and fails unless nothing is then:
// what a volume shows of somebody else's files must not be removed with the folder.
func (n *Node) unmount() error {
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(n.dir))
	if err != nil {
		return fmt.Errorf("finding the node's mounts: %w", err)
	}
	for _, m := range slices.Backward(mounts) { // the last one is on top
		// Detached, for a file that somebody still reads is not a reason to keep the rest.
		if err := unix.Unmount(m.Mountpoint, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && err != unix.EINVAL {
			return fmt.Errorf("unmounting %s: %w", m.Mountpoint, err)
		}
	}
	if mounts, err = mountinfo.GetMounts(mountinfo.PrefixFilter(n.dir)); err != nil {
		return fmt.Errorf("finding the node's mounts: %w", err)
	}
	if len(mounts) > 0 {
		return fmt.Errorf("%s is still mounted, and %d more in %s: unmount them, then try again", mounts[0].Mountpoint, len(mounts)-1, n.dir)
	}
	return nil
}

package node

import (
	"fmt"
	"slices"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// unmount unmounts everything in the node's folder. It returns an error if anything is still mounted
// afterwards, because removing the folder would then delete the files that a volume mounts from elsewhere.
func (n *Node) unmount() error {
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(n.dir))
	if err != nil {
		return fmt.Errorf("finding the node's mounts: %w", err)
	}
	for _, m := range slices.Backward(mounts) { // later mounts are on top
		// Detached, so that an open file does not prevent the unmounting.
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

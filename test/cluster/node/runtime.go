package node

import (
	"context"
	"fmt"
	"net"
	"os"
	"time"
)

const socket = "containerd.sock"

// RuntimeArguments returns the arguments of containerd.
func (n *Node) RuntimeArguments() []string {
	return []string{"--config", n.Path(configPaths["containerd.toml"])}
}

// KubeletArguments returns the arguments of the kubelet that set the paths of its files.
func (n *Node) KubeletArguments() []string {
	return []string{
		"--config=" + n.Path(configPaths["kubelet.yaml"]),
		"--root-dir=" + n.Path("kubelet"),
		"--cert-dir=" + n.Path("kubelet/pki"),
	}
}

// AwaitRuntime returns once containerd accepts connections.
func (n *Node) AwaitRuntime(ctx context.Context) error {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", n.Path(socket))
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for containerd: %w (last: %w)", context.Cause(ctx), err)
		case <-ticker.C:
		}
	}
}

// Import imports the images of an archive, which is an OCI image layout in a tar file or a file
// of `docker save`. Of an image for several platforms it imports the one for this machine.
func (n *Node) Import(ctx context.Context, archive string) error {
	if _, err := os.Stat(archive); err != nil {
		return fmt.Errorf("reading the image: %w", err)
	}
	if err := run(ctx, "", "ctr", "--address", n.Path(socket), "--namespace", "k8s.io", "images", "import", archive); err != nil {
		return fmt.Errorf("importing %s: %w", archive, err)
	}
	return nil
}

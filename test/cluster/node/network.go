package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
)

// networkUp makes a network namespace and connects it to the host's with a veth pair.
func (n *Node) networkUp(ctx context.Context) error {
	namespace := n.Path("netns")
	if err := os.WriteFile(namespace, nil, 0o600); err != nil {
		return fmt.Errorf("making the network namespace: %w", err)
	}
	if err := run(ctx, "", "unshare", "--net="+namespace, "true"); err != nil {
		return fmt.Errorf("making the network namespace: %w", err)
	}
	if err := n.ip(ctx, false,
		"link add "+linkName+" type veth peer name eth0 netns '"+namespace+"'",
		"address add "+hostAddress+"/30 dev "+linkName,
		"link set "+linkName+" up",
		"route add "+Services+" via "+Address,
		"route add "+Pods+" via "+Address,
	); err != nil {
		return err
	}
	return n.ip(ctx, true,
		"link set lo up",
		"address add "+Address+"/30 dev eth0",
		"link set eth0 up",
		"route add default via "+hostAddress,
	)
}

// networkDown removes the veth pair. The namespace ends with its processes and its mount.
func networkDown(ctx context.Context) error {
	if _, err := os.Stat("/sys/class/net/" + linkName); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := run(ctx, "", "ip", "link", "delete", linkName); err != nil {
		return fmt.Errorf("removing the node's network interface: %w", err)
	}
	return nil
}

// ip runs commands of iproute2, inside or outside of the namespace.
func (n *Node) ip(ctx context.Context, inside bool, commands ...string) error {
	path, args := "ip", []string{"-batch", "-"}
	if inside {
		path, args = n.Inside(path, args)
	}
	if err := run(ctx, strings.Join(commands, "\n")+"\n", path, args...); err != nil {
		return fmt.Errorf("connecting the node: %w", err)
	}
	return nil
}

// Inside returns the command that runs path in the node's network namespace.
// nsenter replaces itself with path, so that the process keeps its number.
func (n *Node) Inside(path string, args []string) (string, []string) {
	return "nsenter", append([]string{"--net=" + n.Path("netns"), path}, args...)
}

// run runs a command whose output matters only if it fails.
func run(ctx context.Context, input, path string, args ...string) error {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdin = strings.NewReader(input)
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", path, strings.Join(args, " "), err, strings.TrimSpace(string(output)))
	}
	return nil
}

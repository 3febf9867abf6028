package e2e

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/nfo-operator/nfo/test/story"
)

const (
	// registryHost is the address and port of the registry's Service. The address is fixed,
	// because neither the host nor the cluster, which has no DNS, can resolve the Service's name.
	registryHost = "10.96.0.50:5000"
	// registrySize is the size of the file system under the registry's volume.
	registrySize = "size=64m"
	image        = "registry.example.com/nfo"
)

// node is the cluster that all tests share. Its files are in bin/e2e of the clone.
type node struct{ root, dir string }

var shared *node

func TestMain(m *testing.M) {
	if os.Getenv("NFO_E2E") == "" { // `go test ./...` has neither root nor the image
		os.Exit(m.Run())
	}
	os.Exit(withNode(context.Background(), m.Run))
}

// withNode runs the tests on a new node and returns their exit code.
func withNode(ctx context.Context, tests func() int) int {
	root, err := filepath.Abs("../..")
	if err != nil {
		log.Print(err)
		return 1
	}
	shared = &node{root: root, dir: filepath.Join(root, "bin", "e2e")}
	code := 1
	if err := shared.up(ctx); err != nil {
		log.Print(err)
	} else {
		code = tests()
	}
	if os.Getenv("NFO_E2E_KEEP") != "" {
		log.Printf("the cluster is left as it is: export KUBECONFIG=%s", shared.kubeconfig())
		return code
	}
	if err := shared.down(ctx); err != nil {
		log.Print(err)
		return 1
	}
	return code
}

func (n *node) path(name string) string { return filepath.Join(n.dir, name) }
func (n *node) kubeconfig() string      { return n.path("cluster/kubeconfig") }

// up starts the node with the product's image loaded, and the file system for the registry.
func (n *node) up(ctx context.Context) error {
	if err := n.down(ctx); err != nil { // a killed run may have left files
		return err
	}
	if err := os.MkdirAll(n.path("registry"), 0o755); err != nil {
		return err
	}
	if err := syscall.Mount("tmpfs", n.path("registry"), "tmpfs", 0, registrySize); err != nil {
		return fmt.Errorf("mounting a file system for the registry: %w", err)
	}
	if err := os.Chown(n.path("registry"), 65532, 65532); err != nil {
		return err
	}
	if err := n.cluster(ctx, "up", "--node", "--dir", n.path("cluster")); err != nil {
		return err
	}
	return n.cluster(ctx, "load-image", "--dir", n.path("cluster"), filepath.Join(n.root, "bin/image/nfo.tar"))
}

// down ends the node and removes its files. A second call does nothing.
func (n *node) down(ctx context.Context) error {
	if _, err := os.Stat(n.dir); os.IsNotExist(err) {
		return nil
	}
	if err := n.cluster(ctx, "down", "--dir", n.path("cluster")); err != nil {
		return err
	}
	// EINVAL: nothing is mounted there.
	if err := syscall.Unmount(n.path("registry"), 0); err != nil && err != syscall.EINVAL && err != syscall.ENOENT {
		return fmt.Errorf("unmounting the registry's file system: %w", err)
	}
	return os.RemoveAll(n.dir)
}

// cluster runs a command of test/cluster and prints its output.
func (n *node) cluster(ctx context.Context, args ...string) error {
	home := []string{"HOME=" + os.Getenv("HOME")} // for Go's caches
	cmd := n.command(ctx, home, "go", append([]string{"run", "-C", filepath.Join(n.root, "test/cluster"), "."}, args...)...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("running cluster %s: %w", args[0], err)
	}
	return nil
}

// command returns a command that runs in the clone. When ctx ends,
// it is interrupted together with all processes that it started.
func (n *node) command(ctx context.Context, env []string, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = n.root
	tools := strings.Join([]string{"bin", "bin/tools", "bin/peers", "test/cluster/bin", "test/e2e/testdata/bin"}, ":"+n.root+"/")
	cmd.Env = append(os.Environ(),
		"PATH="+n.root+"/"+tools+":"+os.Getenv("PATH"), "KUBECONFIG="+n.kubeconfig(), "HOME="+n.dir,
		"REGISTRY="+registryHost, "IMAGE="+image, "E2E="+n.dir, "YAML="+filepath.Join(n.root, "test/e2e/testdata"))
	cmd.Env = append(cmd.Env, env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
	cmd.WaitDelay = 15 * time.Second
	return cmd
}

// tell runs the chapters of a story, each as a subtest, until one fails.
func tell(t *testing.T, chapters []story.Chapter) {
	t.Helper()
	if shared == nil {
		t.Skip("make e2e runs this: it needs root")
	}
	teller := &story.Teller{Out: os.Stdout, Prepare: shared.command}
	var table strings.Builder
	var failure error
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	for _, c := range chapters {
		began := time.Now()
		fmt.Printf("\n# %s\n", c.Title)
		well := t.Run(c.Title, func(t *testing.T) {
			if failure = teller.Tell(t.Context(), c); failure != nil {
				t.Error(failure)
				shared.explain(context.WithoutCancel(t.Context()))
			}
		})
		result := "ok"
		if !well {
			result = "FAILED"
		}
		fmt.Fprintf(w, "%s\t%.1fs\t%s\n", result, time.Since(began).Seconds(), c.Title)
		if !well {
			break
		}
	}
	_ = w.Flush() // it writes to memory
	fmt.Printf("\n%s\n", table.String())
	if failure != nil { // repeated below the cluster's output
		fmt.Println(failure)
	}
}

// explain prints the state and logs of the cluster after a failure.
func (n *node) explain(ctx context.Context) {
	for _, line := range []string{
		"kubectl get as,am,nfdv,nsdv,sns,ts,art,cronjobs,jobs,pods,leases -A",
		"kubectl get events -A --sort-by=.lastTimestamp | tail -40",
		"kubectl logs -n nfo-system -l app.kubernetes.io/component=manager --tail=60 --prefix",
		"kubectl logs -n nfo-system -l app.kubernetes.io/component=registry --tail=60 --prefix",
		"kubectl logs -n nfo-system -l app.kubernetes.io/component=agent --tail=30 --prefix",
		"kubectl describe pods -n nfo-system | tail -80",
		"kubectl describe pods -n ran | tail -60",
		"kubectl logs -n publisher -l app.kubernetes.io/managed-by=nfo --tail=40 --prefix",
	} {
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		fmt.Printf("\n$ %s\n", line)
		cmd := n.command(ctx, nil, "bash", "-c", line)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stdout
		_ = cmd.Run() // an error here would hide the one to explain
		cancel()
	}
}

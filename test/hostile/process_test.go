package hostile

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/onsi/gomega"

	"github.com/nfo-operator/nfo/test/program"
)

// Memory limits of the processes, in bytes. Both are below the defaults,
// which are 768 MiB for the manager's container and 512 MiB for a purge's.
const (
	managerMemory = 512 << 20
	purgeMemory   = 256 << 20
)

// process is a program of the product, with a memory limit.
type process struct {
	t     *testing.T
	limit int64
	cmd   *exec.Cmd
	log   bytes.Buffer
	ended chan struct{}

	mu   sync.Mutex
	most int64 // the largest memory in use so far, in bytes
}

// nfo builds the program, once for all tests.
var nfo = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "nfo-hostile-")
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "nfo"), program.Build(dir, false, "nfo")
})

// start starts nfo. As in a container, the process is killed if it uses more memory than its limit. env
// is the variable from which the Go runtime's memory limit follows, as the chart or the CronJob sets it.
func start(t *testing.T, limit int64, env string, args ...string) *process {
	t.Helper()
	binary, err := nfo()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, limit: limit, cmd: exec.Command(binary, args...), ended: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), "KUBECONFIG="+shared.Kubeconfig(), env)
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait()
	}()
	go p.watch()
	t.Cleanup(p.stop)
	return p
}

// watch checks the memory until the process ends. It does not include
// the processes that read charts, which have their own limits.
func (p *process) watch() {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-p.ended:
			return
		case <-tick.C:
		}
		used := peak(p.cmd.Process.Pid)
		p.mu.Lock()
		p.most = max(p.most, used)
		p.mu.Unlock()
		if used > p.limit {
			_ = p.cmd.Process.Kill()
			return
		}
	}
}

// peak returns the largest resident memory that a process has had, in bytes, or 0 if it has ended.
func peak(pid int) int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if kib, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(kib), "kB")), 10, 64)
			return n << 10
		}
	}
	return 0
}

// processor returns the CPU time of the process, or 0 if it has ended.
func (p *process) processor() time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond // Linux counts in hundredths of a second
}

// works reports whether the process uses more than a tenth of a CPU during the given time.
func (p *process) works(during time.Duration) bool {
	before := p.processor()
	<-time.After(during)
	return p.processor()-before > during/10
}

func (p *process) used() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.most
}

func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(20 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

// alive fails the test if the process has ended, or was killed for its memory.
func (p *process) alive() {
	p.t.Helper()
	select {
	case <-p.ended:
		log := p.log.Bytes()
		p.t.Fatalf("the process has ended: %v, with %d of %d MiB:\n%s", p.cmd.ProcessState, p.used()>>20, p.limit>>20, log[max(0, len(log)-4096):])
	default:
	}
}

// startManager starts `nfo manager` for the whole cluster.
func startManager(t *testing.T) *process {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	probes := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	p := start(t, managerMemory, fmt.Sprintf("NFO_CONTAINER_MEMORY=%d", managerMemory), "manager", "--leader-elect=false", "--metrics-bind-address=0", "--webhook-port=0",
		"--health-probe-bind-address="+probes, "--allow-loopback-registries", "--purger-image=registry.example.com/nfo:test", "--registry-polls-per-second=100")
	gomega.NewWithT(t).Eventually(func() int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+probes+"/readyz", nil)
		if err != nil {
			return 0
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0
		}
		defer func() { _ = resp.Body.Close() }()
		return resp.StatusCode
	}, time.Minute, 100*time.Millisecond).Should(gomega.Equal(http.StatusOK))
	return p
}

// purge runs `nfo purge` until it or ctx ends, and returns the largest memory that it used.
func purge(ctx context.Context, t *testing.T, namespace, store string, args ...string) int64 {
	t.Helper()
	p := start(t, purgeMemory, fmt.Sprintf("GOMEMLIMIT=%d", purgeMemory/10*9), append([]string{
		"purge", "--kubeconfig", shared.Kubeconfig(), "--namespace", namespace, "--store", store, "--allow-loopback-registries",
	}, args...)...)
	select {
	case <-p.ended:
	case <-ctx.Done():
		p.stop()
	}
	if p.used() > p.limit {
		t.Errorf("the purge of %s took more than %d MiB", namespace, p.limit>>20)
	}
	return p.used()
}

package bench

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/nfo-operator/nfo/test/environment"
)

// peer returns the path of a program that `make bench` builds.
func peer(b *testing.B, name string) string {
	b.Helper()
	path, err := filepath.Abs(filepath.Join(environment.Root(), "bin", "peers", name))
	must(b, err)
	if _, err := os.Stat(path); err != nil {
		b.Skipf("%s is not built: run `make bench`", name)
	}
	return path
}

const registryConfig = `version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: %s}
  cache: {blobdescriptor: inmemory}
  delete: {enabled: true}
  maintenance: {uploadpurging: {enabled: false}}
http: {addr: %s, secret: of a benchmark}
`

// stand is the content of a registry on disk, whether or not the registry runs.
type stand struct {
	b        *testing.B
	disk     disk
	config   string
	host     string // of the registry, or of the proxy before it
	released []target
}

func newStand(b *testing.B, l load) *stand {
	b.Helper()
	dir := b.TempDir()
	s := &stand{b: b, disk: disk(filepath.Join(dir, "data")), config: filepath.Join(dir, "config.yml"), host: freeAddress(b)}
	must(b, os.WriteFile(s.config, fmt.Appendf(nil, registryConfig, s.disk, s.host), 0o600))
	if l.away > 0 {
		s.host = far(b, s.host, l.away)
	}
	var err error
	s.released, err = l.layOut(s.disk)
	must(b, err)
	return s
}

// serve starts a registry as a separate process, with all its content restored, and returns a function
// that ends it. The registry also ends with this process, however that ends: its shell then kills it.
func (s *stand) serve() (stop func()) {
	s.b.Helper()
	for _, t := range s.released {
		must(s.b, s.disk.revision(t))
	}
	const script = `"$0" serve "$1" & child=$!; cat >/dev/null; kill $child; wait $child`
	cmd := exec.Command("/bin/sh", "-c", script, peer(s.b, "registry"), s.config)
	cmd.Env = append(os.Environ(), "OTEL_TRACES_EXPORTER=none")
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	stdin, err := cmd.StdinPipe()
	must(s.b, err)
	must(s.b, cmd.Start())
	stop = sync.OnceFunc(func() {
		_ = stdin.Close()
		_ = cmd.Wait() // it was killed
		bare.CloseIdleConnections()
	})
	s.b.Cleanup(stop)
	err = wait.PollUntilContextTimeout(s.b.Context(), 5*time.Millisecond, 30*time.Second, true, func(ctx context.Context) (bool, error) {
		return s.answers(ctx), nil
	})
	if err != nil {
		stop()
		s.b.Fatalf("starting the registry: %v: %s", err, &complaint)
	}
	return stop
}

func (s *stand) answers(ctx context.Context) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.host+"/v2/", nil)
	if err != nil {
		return false
	}
	res, err := bare.Do(req)
	if err != nil {
		return false
	}
	_ = res.Body.Close() // only the status counts
	return res.StatusCode == http.StatusOK
}

// left returns how many released digests are still in the registry.
func (s *stand) left() (n int) {
	for _, t := range s.released {
		if s.disk.has(t) {
			n++
		}
	}
	return n
}

// freeAddress returns an address on which no process listens.
func freeAddress(b *testing.B) string {
	b.Helper()
	var config net.ListenConfig
	l, err := config.Listen(b.Context(), "tcp", "127.0.0.1:0")
	must(b, err)
	defer func() { _ = l.Close() }() // nothing was accepted
	return l.Addr().String()
}

// each runs a program once for each target, with at most atOnce at a time, and returns the targets per second.
func each(ctx context.Context, dir string, targets []target, command func(target) []string) (float64, error) {
	var g errgroup.Group
	g.SetLimit(atOnce)
	start := time.Now()
	for _, t := range targets {
		g.Go(func() error {
			argv := command(t)
			cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
			cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "DOCKER_CONFIG=" + dir}
			if out, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("running %s: %w: %s", filepath.Base(argv[0]), err, out)
			}
			return nil
		})
	}
	err := g.Wait()
	return float64(len(targets)) / time.Since(start).Seconds(), err
}

// collect runs the registry's own collector while the registry is stopped, and returns the digests per second.
// If the collector takes longer than collectLimit, it is ended, done is false, and the true rate is lower.
func (s *stand) collect(ctx context.Context) (rate float64, done bool, err error) {
	for _, t := range s.released {
		must(s.b, s.disk.revision(t))
	}
	short, cancel := context.WithTimeout(ctx, collectLimit)
	defer cancel()
	cmd := exec.CommandContext(short, peer(s.b, "registry"), "garbage-collect", "--delete-untagged", "--quiet", s.config)
	cmd.Env = append(os.Environ(), "OTEL_TRACES_EXPORTER=none")
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	start := time.Now()
	err = cmd.Run()
	rate = float64(len(s.released)) / time.Since(start).Seconds()
	switch n := s.left(); {
	case ctx.Err() == nil && short.Err() != nil:
		return rate, false, nil
	case err != nil:
		return 0, false, fmt.Errorf("collecting garbage: %w: %s", err, &complaint)
	case n > 0:
		return 0, false, fmt.Errorf("collecting garbage: %d digests are left", n)
	}
	return rate, true, nil
}

package registrytest

import (
	"bufio"
	"fmt"
	"io"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

const (
	processName = "docker-registry"
	processWait = 30 * time.Second
)

var listening = regexp.MustCompile(`listening on (127\.0\.0\.1:\d+)`)

// StartProcess starts the registry of Debian's package docker-registry, distribution 2.8, in a
// process that is stopped when the test ends: the filesystem driver, deletion enabled, no login. The
// result is a Registry like any other, which records requests and simulates faults. If the program is
// missing, the test is skipped, or fails if the environment has NFO_TEST_DOCKER_REGISTRY=required.
func StartProcess(t testing.TB) *Registry {
	t.Helper()
	program, err := exec.LookPath(processName)
	if err != nil {
		text := "no " + processName + " on the PATH; on Debian: apt-get install --no-install-recommends " + processName
		if os.Getenv("NFO_TEST_DOCKER_REGISTRY") == "required" {
			t.Fatal(text)
		}
		t.Skip(text)
	}
	s := settings{dir: t.TempDir(), maxTags: 1000}
	config := filepath.Join(t.TempDir(), "config.yml")
	text := fmt.Sprintf(`
version: 0.1
log: {level: info}
storage:
  filesystem: {rootdirectory: %q}
  cache: {blobdescriptor: inmemory}
  delete: {enabled: true}
  maintenance: {uploadpurging: {enabled: false}}
http: {addr: "127.0.0.1:0", secret: for uploads in tests}
`, s.dir)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatalf("writing its configuration: %v", err)
	}
	target := &url.URL{Scheme: "http", Host: run(t, program, config)}
	return serve(t, &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
		p.SetURL(target)
		p.Out.Host = p.In.Host // the Location headers of uploads must have the host that the client uses
	}}, s)
}

// run starts the program and returns the address at which it listens.
func run(t testing.TB, program, config string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, "serve", config)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")} // variables REGISTRY_... would change the configuration
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatalf("starting %s: %v", program, err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting %s: %v", program, err)
	}
	address, done := make(chan string, 1), make(chan struct{})
	var last string
	go func() {
		defer close(done)
		lines := bufio.NewScanner(log)
		for lines.Scan() {
			last = lines.Text()
			if found := listening.FindStringSubmatch(last); found != nil {
				address <- found[1]
				break
			}
		}
		_, _ = io.Copy(io.Discard, log) // a full pipe would block the process
	}()
	t.Cleanup(func() { // the end of t.Context kills the process
		<-done
		_ = cmd.Wait()
	})
	select {
	case host := <-address:
		return host
	case <-done:
		t.Fatalf("%s has ended: %s", program, last)
	case <-time.After(processWait):
		t.Fatalf("%s does not listen after %s", program, processWait)
	}
	return ""
}

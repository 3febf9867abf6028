package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// grace is the time between SIGTERM and SIGKILL for a component.
const grace = 5 * time.Second

// A component is one process of the control plane.
type component struct {
	name, log string
	process   *os.Process
	ended     chan struct{} // closed when the process has ended
	err       error         // of Wait; valid once ended is closed
}

// startComponent starts a program that logs to dir/<name>.log and dies with this process, even
// if this process is killed. The program's environment has only PATH and HOME: etcd would read
// ETCD_* variables, and a configured HTTP proxy would come between the API server and a webhook.
func startComponent(dir, name, path string, args ...string) (*component, error) {
	c := &component{name: name, log: filepath.Join(dir, name+".log"), ended: make(chan struct{})}
	log, err := os.Create(c.log)
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	defer log.Close() //nolint:errcheck // the child has its own handle
	cmd := exec.Command(path, args...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}
	cmd.Stdout, cmd.Stderr = log, log
	// In a separate process group the component does not receive Ctrl-C,
	// so that this program decides in which order the components stop.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		// The kernel sends the death signal when the thread that started the child
		// ends. So this goroutine keeps its thread until the child has ended.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			c.err = cmd.Wait()
			close(c.ended)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	c.process = cmd.Process
	return c, nil
}

// stop returns when the process has ended.
func (c *component) stop() {
	_ = c.process.Signal(syscall.SIGTERM) // fails only if the process has ended
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-c.ended:
	case <-timer.C:
		_ = c.process.Kill()
		<-c.ended
	}
}

// errFailed is wrapped by the error of a component that ended without being asked to.
var errFailed = errors.New("a component failed")

// failure returns how the component ended, with the last lines of its log.
func (c *component) failure() error {
	how := "status 0"
	if c.err != nil {
		how = c.err.Error()
	}
	return fmt.Errorf("%w: %s ended (%s); the end of %s:\n%s", errFailed, c.name, how, c.log, tail(c.log, 20))
}

// tail returns the last lines of a text file, indented.
func tail(path string, lines int) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return "    " + err.Error()
	}
	all := strings.Split(string(bytes.TrimSpace(text)), "\n")
	return "    " + strings.Join(all[max(0, len(all)-lines):], "\n    ")
}

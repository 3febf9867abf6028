package chart

import (
	"errors"
	"flag"
	"fmt"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nfo-operator/nfo/test/program"
)

// TestMain makes the test binary the program that a Reader starts. With chart as its
// first argument it is `nfo chart`, with misbehave it is a faulty child.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "misbehave" {
		os.Exit(misbehaveMain(os.Args[2]))
	}
	if len(os.Args) > 1 && os.Args[1] == "chart" {
		os.Exit(chartMain(os.Args[2:]))
	}
	os.Exit(runTests(m))
}

// chartCommand is the command that reads charts in tests. If it is empty, the test binary is used.
var chartCommand []string

// runTests runs the tests. With the race detector, the tests start `nfo chart` built without the detector, because the
// detector alone needs more memory than a chart may take.
func runTests(m *testing.M) int {
	if program.Racing {
		dir, err := os.MkdirTemp("", "nfo-chart-")
		if err == nil {
			err = program.Build(dir, false, "nfo")
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer func() { _ = os.RemoveAll(dir) }() // it is in the folder for temporary files
		chartCommand = []string{filepath.Join(dir, "nfo"), "chart"}
	}
	return m.Run()
}

func chartMain(args []string) int {
	var limits Limits
	flags := flag.NewFlagSet("chart", flag.ExitOnError)
	flags.DurationVar(&limits.CPU, "cpu", 0, "")
	flags.Int64Var(&limits.Memory, "memory", 0, "")
	if err := flags.Parse(args); err != nil {
		return ChildFailed
	}
	if err := Serve(limits, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		return ChildFailed
	}
	return 0
}

func misbehaveMain(how string) int {
	self := os.Getpid()
	switch how {
	case "exit":
	case "hang":
		// The grandchild keeps the output open.
		child := exec.Command("/proc/self/exe", "misbehave", "wait")
		child.Stdout, child.Stderr = os.Stdout, os.Stderr
		if err := child.Run(); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	case "wait":
		<-time.After(time.Hour)
	case "burn":
		// The kernel's limit of processor time is tested here. The race detector needs more memory than any limit.
		if err := confine(Limits{CPU: time.Second, Memory: math.MaxInt64}); err != nil {
			return ChildFailed
		}
		for n := 0; n >= 0; n++ {
			_ = strings.Repeat("x", n%100)
		}
	case "stop":
		return stopped()
	case "full":
		return childFull
	case "short":
		return dies("fatal error: runtime: out of memory: cannot allocate 4194304-byte block (12582912 in use)")
	case "out":
		return dies("fatal error: runtime: out of memory: cannot allocate 4294967296-byte block (12582912 in use)")
	case "thread":
		return dies("runtime: failed to create new OS thread (have 4 already; errno=11)\nfatal error: newosproc")
	case "term":
		_ = syscall.Kill(self, syscall.SIGTERM)
		<-time.After(time.Hour)
	case "panic":
		panic("on purpose")
	case "kill":
		_ = syscall.Kill(self, syscall.SIGKILL)
	case "abort":
		_ = syscall.Kill(self, syscall.SIGABRT)
		<-time.After(time.Hour)
	case "flood":
		for line := []byte(strings.Repeat("[]", 1<<15)); ; {
			if _, err := os.Stdout.Write(line); err != nil {
				return 1
			}
		}
	case "garbage":
		fmt.Println("{{{")
	case "fail":
		return ChildFailed
	case "confined":
		fmt.Printf(`{"Chart":{"Name":%q},"Done":true}`+"\n", confinement())
	default:
		fmt.Println(how)
	}
	return 0
}

// dies writes a fatal error like the Go runtime, and returns its exit code.
func dies(says string) int {
	fmt.Fprintln(os.Stderr, says)
	return 2
}

// confinement returns what a confined process can still do, "" if it can do nothing.
func confinement() string {
	if env := os.Environ(); len(env) != 4 {
		return fmt.Sprint("environment: ", env)
	}
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err.Error()
	}
	for _, fd := range open {
		// The files of the Go runtime, and the one for this list, are allowed.
		to, err := os.Readlink("/proc/self/fd/" + fd.Name())
		if err == nil && fd.Name() > "2" && !strings.HasPrefix(to, "anon_inode:") && !strings.HasPrefix(to, "/sys/fs/cgroup/") && !strings.HasPrefix(to, "/proc/") {
			return fd.Name() + " is open: " + to
		}
	}
	limits := Limits{}.withDefaults()
	if program.Racing { // the race detector needs more memory than any limit
		limits.Memory = math.MaxInt64
	}
	if err := confine(limits); err != nil {
		return err.Error()
	}
	if dir, err := os.Getwd(); err != nil || dir != "/" {
		return "it is in " + dir
	}
	if _, err := os.Open("/"); !errors.Is(err, syscall.EMFILE) {
		return fmt.Sprint("opening a file: ", err)
	}
	if _, err := net.Listen("tcp", "127.0.0.1:0"); !errors.Is(err, syscall.EMFILE) {
		return fmt.Sprint("opening a socket: ", err)
	}
	return "confined"
}

package storage_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	"github.com/sirupsen/logrus"

	"github.com/nfo-operator/nfo/internal/clusterregistry/collect"
	"github.com/nfo-operator/nfo/internal/clusterregistry/storage"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
)

// setting configures the processes of a hammer.
type setting struct {
	Root  string
	Grace time.Duration
	Dwell time.Duration
	// Stale is how old the view of a process can be.
	Stale time.Duration
	// Slow is the delay of each Lstat in a process that does not collect.
	Slow time.Duration
	// Blind switches off the check after publication.
	Blind bool
	// Collects makes the process run collections continuously while it serves requests.
	Collects bool
}

const settingVariable = "NFO_HAMMER_SETTING"

func TestMain(m *testing.M) {
	if text := os.Getenv(settingVariable); text != "" {
		if err := beProcess(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// beProcess serves and collects until its standard input ends, which also happens when its parent ends.
func beProcess(text string) error {
	var s setting
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return err
	}
	logrus.SetOutput(io.Discard)
	v, err := volume.Open(s.Root, volumeOptions(s))
	if err != nil {
		return err
	}
	d := storage.New(storage.Options{Volume: v, Grace: s.Grace})
	if s.Blind {
		storage.Blind(d)
	}
	config := &configuration.Configuration{}
	config.HTTP.Secret = "hammer"
	d.Configure(config)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go func() {
		_ = (&http.Server{Handler: handlers.NewApp(ctx, config), ReadHeaderTimeout: time.Minute}).Serve(listener)
	}()
	fmt.Println(listener.Addr())
	if s.Collects {
		go collectAllTheTime(ctx, v, s)
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func collectAllTheTime(ctx context.Context, v *volume.Volume, s setting) {
	for ctx.Err() == nil {
		report, err := collect.Run(ctx, v, collect.Options{Grace: s.Grace, Dwell: s.Dwell, Untagged: true})
		if err != nil {
			// Another collection may have removed a folder. The next collection restores what was hidden.
			continue
		}
		// The parent adds up these counts.
		fmt.Println("deleted", report.Deleted.Blobs)
	}
}

func volumeOptions(s setting) volume.Options {
	if s.Slow > 0 && !s.Collects {
		return volume.Options{View: slowView{s.Slow}}
	}
	if s.Stale == 0 {
		return volume.Options{}
	}
	return volume.Options{Stale: &s.Stale, View: &oldView{lasts: func() time.Duration { return rand.N(s.Stale) }, files: map[string]oldFile{}, folders: map[string]oldFolder{}}}
}

// slowView delays each Lstat, so that a collection can act between the first and the last Lstat of a check.
type slowView struct{ each time.Duration }

func (s slowView) Lstat(name string) (fs.FileInfo, error) {
	<-time.After(s.each)
	return os.Lstat(name)
}

func (s slowView) ReadDir(name string) ([]fs.DirEntry, error) { return os.ReadDir(name) }

// oldView shows files and folders in an earlier state. It never reports an earlier absence of a file: that would only
// make a push fail, and hide the losses that this test must find.
type oldView struct {
	// lasts returns how long an observed state is shown.
	lasts   func() time.Duration
	mu      sync.Mutex
	files   map[string]oldFile
	folders map[string]oldFolder
}

type oldFile struct {
	until time.Time
	info  fs.FileInfo
}

type oldFolder struct {
	until   time.Time
	entries []fs.DirEntry
}

func (o *oldView) Lstat(name string) (fs.FileInfo, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if f, ok := o.files[name]; ok && time.Now().Before(f.until) {
		return f.info, nil
	}
	began := time.Now()
	info, err := os.Lstat(name)
	if err == nil {
		o.files[name] = oldFile{until: began.Add(o.lasts()), info: info}
	}
	return info, err
}

func (o *oldView) ReadDir(name string) ([]fs.DirEntry, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if f, ok := o.folders[name]; ok && time.Now().Before(f.until) {
		return f.entries, nil
	}
	began := time.Now()
	entries, err := os.ReadDir(name)
	if err == nil {
		o.folders[name] = oldFolder{until: began.Add(o.lasts()), entries: entries}
	}
	return entries, err
}

// process is a registry process of a hammer, which can be killed and started again.
type process struct {
	t   *testing.T
	s   setting
	mu  sync.Mutex
	url string
	cmd *exec.Cmd
	// deleted receives the number of blobs that each of its collections has deleted.
	deleted func(int)
}

func (p *process) start() {
	text, err := json.Marshal(p.s)
	if err != nil {
		p.t.Error(err)
		return
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), settingVariable+"="+string(text))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		p.t.Error(err)
		return
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		p.t.Error(err)
		return
	}
	if err := cmd.Start(); err != nil {
		p.t.Error(err)
		return
	}
	var address string
	if _, err := fmt.Fscanln(out, &address); err != nil {
		p.t.Error("a process did not begin:", err)
		return
	}
	go func() {
		defer func() { _ = in.Close() }()
		for {
			var word string
			var n int
			if _, err := fmt.Fscanln(out, &word, &n); err != nil {
				return
			}
			p.deleted(n)
		}
	}()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cmd, p.url = cmd, "http://"+address+"/v2/"
}

func (p *process) address() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.url
}

// kill ends the process like a crash.
func (p *process) kill() {
	p.mu.Lock()
	cmd := p.cmd
	p.mu.Unlock()
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

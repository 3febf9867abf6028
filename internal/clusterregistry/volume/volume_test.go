package volume_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
)

func open(t *testing.T, o volume.Options) *volume.Volume {
	t.Helper()
	v, err := volume.Open(filepath.Join(t.TempDir(), "registry"), o)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func write(t *testing.T, v *volume.Volume, path, content string) {
	t.Helper()
	if err := v.Write(path, []byte(content), false); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, v *volume.Volume, path string) string {
	t.Helper()
	content, err := v.ReadFile(path, 100)
	if errors.Is(err, fs.ErrNotExist) {
		return "nothing"
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func files(t *testing.T, v *volume.Volume) (all []string) {
	t.Helper()
	err := filepath.WalkDir(v.Root(), func(name string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			all = append(all, name[len(v.Root()):])
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestProbe(t *testing.T) {
	v := open(t, volume.Options{})
	if err := v.Probe(); err != nil {
		t.Error(err)
	}
	if got := files(t, v); got != nil {
		t.Errorf("it left %v", got)
	}
	if v.Kind() != volume.Local || v.Stale() != 0 {
		t.Errorf("a folder of the tests is on %s, %s", v.Kind(), v.Stale())
	}
}

func TestProbeOfAVolumeThatIsReadOnly(t *testing.T) {
	v := open(t, volume.Options{})
	// A file in place of the folder blocks even the superuser.
	if err := os.WriteFile(filepath.Join(v.Root(), ".nfo"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := v.Probe(); err == nil {
		t.Error("a volume on which nothing can be written passed")
	}
}

func TestHiddenFilesComeBack(t *testing.T) {
	v := open(t, volume.Options{})
	write(t, v, "/a/b/data", "1")
	if hidden, err := v.Hide("1", "/a/b/data"); err != nil || !hidden {
		t.Fatal(hidden, err)
	}
	if hidden, err := v.Hide("1", "/a/b/data"); err != nil || hidden {
		t.Fatal("it hid what is not there", err)
	}
	v.RemoveEmpty("/a/b", "/a")
	if _, err := os.Stat(filepath.Join(v.Root(), "a/b")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the empty folder stayed")
	}
	old := time.Unix(1, 0)
	if err := os.Chtimes(filepath.Join(v.Root(), volume.HiddenPath("1", "/a/b/data")), old, old); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Stat("/a/b/data"); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the file is still there", err)
	}
	info, err := v.Find("/a/b/data")
	if err != nil {
		t.Fatal(err)
	}
	now, err := v.Now()
	if err != nil || now.Sub(info.ModTime()) > time.Minute {
		t.Errorf("what came back is of %s, now is %s, %v", info.ModTime(), now, err)
	}
	if got := files(t, v); !cmp.Equal(got, []string{"/a/b/data"}) {
		t.Error(got)
	}
	if _, err := v.Find("/a/c"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if _, err := v.Find("/a/b/data/below"); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a path through a file", err)
	}
}

func TestWhatComesBackReplacesNothing(t *testing.T) {
	v := open(t, volume.Options{})
	write(t, v, "/t/link", "old")
	if _, err := v.Hide("1", "/t/link"); err != nil {
		t.Fatal(err)
	}
	write(t, v, "/t/link", "new")
	if back, err := v.GiveBack("1", "/t/link"); err != nil || !back {
		t.Fatal(back, err)
	}
	if got := read(t, v, "/t/link"); got != "new" {
		t.Error(got)
	}
	var hidden []string
	if err := v.Hidden("1", func(p string) error { hidden = append(hidden, p); return nil }); err != nil {
		t.Fatal(err)
	}
	if !cmp.Equal(hidden, []string{"/t/link"}) {
		t.Error(hidden)
	}
	if err := v.End("1"); err == nil {
		t.Error("a cycle ended with a file in it")
	}
	if err := v.Discard("1", "/t/link"); err != nil {
		t.Fatal(err)
	}
	if err := v.End("1"); err != nil {
		t.Error(err)
	}
	if cycles, err := v.Cycles(); err != nil || len(cycles) != 0 {
		t.Error(cycles, err)
	}
}

// Files must survive while another goroutine constantly removes their folder.
func TestRemovingFoldersLosesNoFile(t *testing.T) {
	v := open(t, volume.Options{})
	done := make(chan struct{})
	var remover sync.WaitGroup
	remover.Add(1)
	go func() {
		defer remover.Done()
		for {
			select {
			case <-done:
				return
			default:
				v.RemoveEmpty("/a/b/c", "/a")
			}
		}
	}()
	for range 300 {
		write(t, v, "/a/b/c/data", "1")
		if _, err := v.Hide("1", "/a/b/c/data"); err != nil {
			t.Fatal(err)
		}
		if _, err := v.Find("/a/b/c/data"); err != nil {
			t.Fatal(err)
		}
		if _, err := v.Hide("1", "/a/b/c/data"); err != nil {
			t.Fatal(err)
		}
		if err := v.Discard("1", "/a/b/c/data"); err != nil {
			t.Fatal(err)
		}
	}
	close(done)
	remover.Wait()
}

// stale returns the first result of Lstat for a name until a folder is read.
type stale struct {
	mu   sync.Mutex
	seen map[string]error
	info map[string]fs.FileInfo
}

func (s *stale) Lstat(name string) (fs.FileInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err, ok := s.seen[name]; ok {
		return s.info[name], err
	}
	s.info[name], s.seen[name] = os.Lstat(name)
	return s.info[name], s.seen[name]
}

func (s *stale) ReadDir(name string) ([]fs.DirEntry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.seen)
	return os.ReadDir(name)
}

func TestWhatIsMissingIsLookedForTwiceOnANetworkFileSystem(t *testing.T) {
	minute := time.Minute
	v := open(t, volume.Options{Stale: &minute, View: &stale{seen: map[string]error{}, info: map[string]fs.FileInfo{}}})
	if _, err := v.Stat("/a/data"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	other, err := volume.Open(v.Root(), volume.Options{})
	if err != nil {
		t.Fatal(err)
	}
	write(t, other, "/a/data", "1")
	if _, err := v.Stat("/a/data"); err != nil {
		t.Error("what another process wrote is missing:", err)
	}
}

func TestReadsAreBounded(t *testing.T) {
	v := open(t, volume.Options{})
	write(t, v, "/a", "12345")
	if _, err := v.ReadFile("/a", 4); !errors.Is(err, volume.ErrTooLarge) {
		t.Error(err)
	}
	if content, err := v.ReadFile("/a", 5); err != nil || string(content) != "12345" {
		t.Error(string(content), err)
	}
}

func TestSetAside(t *testing.T) {
	v := open(t, volume.Options{})
	write(t, v, "/a/data", "1")
	was, err := v.Stat("/a/data")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []bool{true, false} {
		if aside, err := v.SetAsideIf("/a/data", was); err != nil || aside != want {
			t.Errorf("set aside: %t, want %t, %v", aside, want, err)
		}
	}
	if _, err := v.Find("/a/data"); !errors.Is(err, fs.ErrNotExist) {
		t.Error("what is corrupt came back", err)
	}
	if got := files(t, v); len(got) != 1 || filepath.Base(got[0]) != "data" {
		t.Error(got)
	}
}

func TestMove(t *testing.T) {
	v := open(t, volume.Options{})
	write(t, v, "/u/data", "1")
	if err := v.Move("/u/data", "/b/aa/data"); err != nil {
		t.Fatal(err)
	}
	if got := read(t, v, "/b/aa/data"); got != "1" {
		t.Error(got)
	}
	if err := v.Move("/u/data", "/b/aa/data"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func TestUsage(t *testing.T) {
	u, err := open(t, volume.Options{}).Usage()
	if err != nil || u.Size <= 0 || u.Free < 0 || u.Free > u.Size || u.Used() != u.Size-u.Free {
		t.Error(u, err)
	}
}

// A file that was replaced after its Stat, even during SetAsideIf, must not be set aside.
func TestSetAsideIf(t *testing.T) {
	for _, tt := range []struct {
		reason string
		// before runs before the call, meanwhile runs after the call's first Stat.
		before, meanwhile func(v *volume.Volume)
		aside             bool
		want              string
	}{
		{reason: "it is the same", aside: true, want: "nothing"},
		{reason: "it was replaced", before: func(v *volume.Volume) { write(t, v, "/a/data", "new") }, want: "new"},
		{reason: "it was replaced after the look", meanwhile: func(v *volume.Volume) { write(t, v, "/a/data", "new") }, want: "new"},
		{reason: "it has gone", before: func(v *volume.Volume) { _, _ = v.Hide("1", "/a/data") }, want: "nothing"},
		{reason: "it has gone after the look", meanwhile: func(v *volume.Volume) { _, _ = v.Hide("1", "/a/data") }, want: "nothing"},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			view := &meddler{}
			v := open(t, volume.Options{View: view})
			write(t, v, "/a/data", "old")
			was, err := v.Stat("/a/data")
			if err != nil {
				t.Fatal(err)
			}
			if tt.before != nil {
				tt.before(v)
			}
			if tt.meanwhile != nil {
				view.once = func() { tt.meanwhile(v) }
			}
			if aside, err := v.SetAsideIf("/a/data", was); err != nil || aside != tt.aside {
				t.Error(aside, err)
			}
			if got := read(t, v, "/a/data"); got != tt.want {
				t.Errorf("its place has %s, want %s", got, tt.want)
			}
			if aside, err := filepath.Glob(filepath.Join(v.Root(), ".nfo/corrupt/*")); err != nil || tt.before != nil && len(aside) > 0 {
				t.Errorf("it has moved something to %v, %v", aside, err)
			}
		})
	}
}

// meddler is a view that calls once after its next Lstat.
type meddler struct{ once func() }

func (m *meddler) Lstat(name string) (fs.FileInfo, error) {
	info, err := os.Lstat(name)
	if once := m.once; once != nil {
		m.once = nil
		once()
	}
	return info, err
}

func (m *meddler) ReadDir(name string) ([]fs.DirEntry, error) { return os.ReadDir(name) }

// A path below a file, and a folder in place of a file, must count as missing too.
func TestMissing(t *testing.T) {
	t.Parallel()
	v := open(t, volume.Options{})
	write(t, v, "/a/file", "1")
	for path, want := range map[string]bool{"/a/file": false, "/a/none": true, "/a/file/below": true, "/a": true} {
		if _, err := v.ReadFile(path, 100); volume.Missing(err) != want {
			t.Errorf("%s is missing: %t, %v", path, !want, err)
		}
	}
	if _, err := v.ReadFile("/a/file", 0); volume.Missing(err) || !errors.Is(err, volume.ErrTooLarge) {
		t.Errorf("a file that is too large: %v", err)
	}
}

func TestRemove(t *testing.T) {
	t.Parallel()
	v := open(t, volume.Options{})
	write(t, v, "/a/file", "1")
	for range 2 { // the second call finds no file
		if err := v.Remove("/a/file"); err != nil {
			t.Error(err)
		}
	}
	if got := read(t, v, "/a/file"); got != "nothing" {
		t.Errorf("it has %s", got)
	}
	write(t, v, "/a/b/file", "1")
	if err := v.Remove("/a/b"); err == nil {
		t.Error("a folder with a file in it was removed")
	}
}

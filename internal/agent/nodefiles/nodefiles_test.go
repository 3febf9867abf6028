package nodefiles

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/google/go-cmp/cmp"
)

// tree returns the content of all files below a folder, by their names.
func tree(t *testing.T, folder string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(folder, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		short, err := filepath.Rel(folder, name)
		if err != nil {
			return err
		}
		if d.Type()&fs.ModeSymlink != 0 {
			all[short] = "a link"
			return nil
		}
		content, err := os.ReadFile(name)
		all[short] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func write(t *testing.T, folder string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		name = filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func apply(t *testing.T, o Options) Report {
	t.Helper()
	report, err := Apply(o)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestRuntimeMirror(t *testing.T) {
	t.Parallel()
	o := Options{
		Containerd: t.TempDir(), Containers: t.TempDir(), Agent: "127.0.0.1:7439",
		Hosts: []string{"docker.io", "registry.example.com:5000"}, PlainHTTP: []string{"registry.example.com:5000"},
	}
	if r := apply(t, o); r.Written != 3 || len(r.Foreign) > 0 {
		t.Errorf("%+v", r)
	}
	want := map[string]string{
		"certs.d/docker.io/hosts.toml": Header + `server = "https://registry-1.docker.io"

[host."http://127.0.0.1:7439/v2/docker.io"]
  capabilities = ["pull", "resolve"]
  override_path = true
`,
		"certs.d/registry.example.com:5000/hosts.toml": Header + `server = "http://registry.example.com:5000"

[host."http://127.0.0.1:7439/v2/registry.example.com_5000"]
  capabilities = ["pull", "resolve"]
  override_path = true
`,
	}
	if diff := cmp.Diff(want, tree(t, o.Containerd)); diff != "" {
		t.Errorf("containerd (-want +got):\n%s", diff)
	}
	text := tree(t, o.Containers)["registries.conf.d/50-nfo-mirror.conf"]
	var crio struct {
		Registry []struct {
			Prefix, Location string
			Insecure         bool
			Mirror           []struct {
				Location string
				Insecure bool
			}
		}
	}
	if err := toml.Unmarshal([]byte(text), &crio); err != nil || len(crio.Registry) != 2 {
		t.Fatalf("%v\n%s", err, text)
	}
	if r := crio.Registry[1]; r.Prefix != "registry.example.com:5000" || !r.Insecure || r.Mirror[0].Location != "127.0.0.1:7439/registry.example.com_5000" || !r.Mirror[0].Insecure {
		t.Errorf("%+v", r)
	}
	if r := crio.Registry[0]; r.Location != "docker.io" || r.Insecure || r.Mirror[0].Location != "127.0.0.1:7439/docker.io" {
		t.Errorf("%+v", r)
	}
	if r := apply(t, o); r.Written+r.Removed != 0 {
		t.Errorf("the second time: %+v", r)
	}
	o.Hosts = o.Hosts[:1]
	if r := apply(t, o); r.Written != 1 || r.Removed != 1 || len(tree(t, o.Containerd)) != 1 {
		t.Errorf("a registry less: %+v", r)
	}
	if _, err := Remove(o.Containerd, o.Containers); err != nil || len(tree(t, o.Containerd))+len(tree(t, o.Containers)) != 0 {
		t.Errorf("%v, and there are %v", err, tree(t, o.Containerd))
	}
	if entries, err := os.ReadDir(filepath.Join(o.Containerd, certsFolder)); err != nil || len(entries) > 0 {
		t.Errorf("%v %v", entries, err)
	}
}

func TestService(t *testing.T) {
	t.Parallel()
	o := Options{
		Containerd: t.TempDir(), Containers: t.TempDir(), Service: "10.96.0.50:5000",
		Authorities: []byte("authorities\n"), Certificate: []byte("certificate\n"), Key: []byte("key\n"),
	}
	if r := apply(t, o); r.Written != 7 {
		t.Errorf("%+v", r)
	}
	folder := "certs.d/10.96.0.50:5000/"
	certificates := map[string]string{folder + "ca.crt": Header + "authorities\n", folder + "client.cert": Header + "certificate\n", folder + "client.key": Header + "key\n"}
	if diff := cmp.Diff(certificates, tree(t, o.Containers)); diff != "" {
		t.Errorf("CRI-O (-want +got):\n%s", diff)
	}
	certificates[folder+"hosts.toml"] = Header + `server = "https://10.96.0.50:5000"
capabilities = ["pull", "resolve"]
ca = "ca.crt"
client = [["client.cert", "client.key"]]
`
	if diff := cmp.Diff(certificates, tree(t, o.Containerd)); diff != "" {
		t.Errorf("containerd (-want +got):\n%s", diff)
	}
	info, err := os.Stat(filepath.Join(o.Containerd, folder, "client.key"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("everybody may read the key: %v %v", info, err)
	}
	o.Key = []byte("next\n")
	if r := apply(t, o); r.Written != 2 {
		t.Errorf("another key: %+v", r)
	}
}

// Files by other authors are neither replaced nor removed, and the folders of their registries are left unchanged.
func TestForeignFiles(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		reason             string
		containerd, others map[string]string
		foreign            []string
	}{
		{"their hosts.toml", map[string]string{"certs.d/r.example:5000/hosts.toml": "server = \"https://other\"\n"}, nil, []string{"certs.d/r.example:5000/hosts.toml"}},
		{"their authority, which containerd reads without our file", map[string]string{"certs.d/r.example:5000/ca.crt": "theirs"}, nil, []string{"certs.d/r.example:5000/ca.crt"}},
		{"the other name of the folder", map[string]string{"certs.d/r.example_5000_/hosts.toml": "theirs"}, nil, []string{"certs.d/r.example_5000_"}},
		{"their registry", nil, map[string]string{"registries.conf.d/10-ours.conf": "[[registry]]\nlocation = \"r.example:5000\"\n"}, []string{"registries.conf.d/10-ours.conf"}},
		{"their registry in the main file", nil, map[string]string{"registries.conf": "[[registry]]\nprefix = \"r.example:5000\"\nlocation = \"x.example\"\n"}, []string{"registries.conf"}},
		{"a file of ours without its first line", nil, map[string]string{registriesFile: "[[registry]]\n"}, []string{registriesFile}},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			t.Parallel()
			o := Options{Containerd: t.TempDir(), Containers: t.TempDir(), Agent: "127.0.0.1:7439", Hosts: []string{"r.example:5000"}}
			write(t, o.Containerd, tt.containerd)
			write(t, o.Containers, tt.others)
			before := []map[string]string{tree(t, o.Containerd), tree(t, o.Containers)}
			if r := apply(t, o); !slices.Equal(r.Foreign, tt.foreign) || r.Written != 1 {
				t.Errorf("%+v", r)
			}
			if _, err := Remove(o.Containerd, o.Containers); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before, []map[string]string{tree(t, o.Containerd), tree(t, o.Containers)}); diff != "" {
				t.Errorf("what others had is changed (-before +after):\n%s", diff)
			}
		})
	}
}

// Links are not followed: neither out of the folder, nor to a file of somebody else.
func TestLinks(t *testing.T) {
	t.Parallel()
	outside := t.TempDir()
	write(t, outside, map[string]string{"hosts.toml": Header})
	link := func(t *testing.T, folder, name, to string) {
		t.Helper()
		write(t, folder, map[string]string{filepath.Join(filepath.Dir(name), "x"): ""})
		if err := os.Remove(filepath.Join(folder, filepath.Dir(name), "x")); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(to, filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, to := range map[string]string{
		"certs.d":                      outside,
		"certs.d/docker.io":            outside,
		"certs.d/docker.io/hosts.toml": filepath.Join(outside, "hosts.toml"),
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			link(t, folder, name, to)
			report, err := Apply(Options{Containerd: folder, Agent: "127.0.0.1:7439", Hosts: []string{"docker.io"}})
			if err == nil && (report.Written > 0 || len(report.Foreign) == 0) {
				t.Errorf("%+v", report)
			}
			_, _ = Remove(folder, "") // it may fail, but must not remove anything
			if diff := cmp.Diff(map[string]string{"hosts.toml": Header}, tree(t, outside)); diff != "" {
				t.Errorf("outside (-want +got):\n%s", diff)
			}
		})
	}
}

// A temporary file of an interrupted write does not prevent later writes.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	o := Options{Containerd: t.TempDir(), Agent: "127.0.0.1:7439", Hosts: []string{"docker.io"}}
	write(t, o.Containerd, map[string]string{"certs.d/docker.io/" + temporary: "half"})
	if r := apply(t, o); r.Written != 1 || len(r.Foreign) > 0 || len(tree(t, o.Containerd)) != 1 {
		t.Errorf("%+v %v", r, tree(t, o.Containerd))
	}
}

func TestUnread(t *testing.T) {
	t.Parallel()
	plugin := func(name, path string) string {
		return "version = 2\n[plugins.\"" + name + "\".registry]\n  config_path = \"" + path + "\"\n"
	}
	for _, tt := range []struct {
		reason string
		files  map[string]string // FOLDER stands for containerd's
		says   string            // "" if it reads them
	}{
		{"until 1.7", map[string]string{"config.toml": plugin("io.containerd.grpc.v1.cri", "FOLDER/certs.d")}, ""},
		{"since 2.0", map[string]string{"config.toml": plugin("io.containerd.cri.v1.images", "FOLDER/certs.d")}, ""},
		{"the default since 2.2", map[string]string{"config.toml": plugin("io.containerd.cri.v1.images", "FOLDER/certs.d:/etc/docker/certs.d")}, ""},
		{"no configuration", nil, "has no config_path"},
		{"nothing of it", map[string]string{"config.toml": "version = 2\n"}, "has no config_path"},
		{"an empty one", map[string]string{"config.toml": plugin("io.containerd.grpc.v1.cri", "")}, "has no config_path"},
		{"another folder", map[string]string{"config.toml": plugin("io.containerd.grpc.v1.cri", "/etc/docker/certs.d")}, `its config_path is "/etc/docker/certs.d"`},
		{"an import, by a pattern", map[string]string{"config.toml": "imports = [\"FOLDER/conf.d/*.toml\"]\n", "conf.d/1.toml": plugin("io.containerd.grpc.v1.cri", "FOLDER/certs.d")}, ""},
		{"an import that changes it", map[string]string{"config.toml": "imports = [\"conf.d/1.toml\"]\n" + plugin("io.containerd.grpc.v1.cri", "FOLDER/certs.d"), "conf.d/1.toml": plugin("io.containerd.grpc.v1.cri", "/other")}, `its config_path is "/other"`},
		{"imports in a circle", map[string]string{"config.toml": "imports = [\"config.toml\"]\n" + plugin("io.containerd.grpc.v1.cri", "FOLDER/certs.d")}, ""},
		{"an import from elsewhere", map[string]string{"config.toml": "imports = [\"/usr/share/c.toml\"]\n"}, "it is not known whether"},
		{"no TOML", map[string]string{"config.toml": "["}, "it is not TOML"},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			for name, content := range tt.files {
				write(t, folder, map[string]string{name: strings.ReplaceAll(content, "FOLDER", folder)})
			}
			if got := Unread(folder); (got == "") != (tt.says == "") || !strings.Contains(got, tt.says) {
				t.Errorf("%q, want %q", got, tt.says)
			}
		})
	}
}

func TestRuntimes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		reason                 string
		containerd, containers map[string]string
		wantD, wantC           bool
	}{
		{"an unknown node", nil, nil, true, false},
		{"containerd", map[string]string{"config.toml": ""}, nil, true, false},
		{"CRI-O", nil, map[string]string{"policy.json": "{}"}, false, true},
		{"both", map[string]string{"config.toml": ""}, map[string]string{"registries.conf": ""}, true, true},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			t.Parallel()
			d, c := t.TempDir(), t.TempDir()
			write(t, d, tt.containerd)
			write(t, c, tt.containers)
			if gotD, gotC := Runtimes(d, c); (gotD == d) != tt.wantD || (gotC == c) != tt.wantC {
				t.Errorf("%q %q", gotD, gotC)
			}
		})
	}
}

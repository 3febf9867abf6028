package integration

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/onsi/gomega"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nfo-operator/nfo/internal/chart/charttest"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
	"github.com/nfo-operator/nfo/test/environment"
)

// workplace is the machine of a user who publishes, with files and logins.
type workplace struct {
	*scene
	// home is the working directory.
	home string
	// elsewhere is a registry to which images are built.
	elsewhere *registrytest.Registry
}

func (s *scene) workplace() *workplace {
	p := &workplace{scene: s, home: s.t.TempDir(), elsewhere: registrytest.Start(s.t)}
	p.login(nil)
	return p
}

// authOf returns a login as docker's configuration file contains it.
func authOf(password string) string {
	return base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
}

// login writes docker's configuration file.
func (p *workplace) login(passwords map[string]string) {
	p.t.Helper()
	auths := map[string]any{}
	for host, password := range passwords {
		auths[host] = map[string]string{"auth": authOf(password)}
	}
	raw, err := json.Marshal(map[string]any{"auths": auths})
	if err == nil {
		err = os.WriteFile(filepath.Join(p.home, "config.json"), raw, 0o600)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *workplace) command(args ...string) *exec.Cmd {
	p.t.Helper()
	cmd := p.pluginCommand(append([]string{"publish", "-n", p.ns, "--plain-http", p.elsewhere.Host}, args...)...)
	cmd.Dir = p.home
	cmd.Env = append(os.Environ(), "DOCKER_CONFIG="+p.home, "REGISTRY_AUTH_FILE=", "XDG_RUNTIME_DIR="+p.home, "XDG_CONFIG_HOME="+p.home)
	return cmd
}

func (p *workplace) publish(args ...string) (code int, out, errOut string) {
	p.t.Helper()
	return p.run(p.command(args...))
}

// chart writes a chart archive, as `helm package` would.
func (p *workplace) chart(file, name, version string) {
	p.t.Helper()
	packed := charttest.Pack(name, map[string]string{"Chart.yaml": "apiVersion: v2\nname: " + name + "\nversion: " + version + "\n"})
	if err := os.WriteFile(filepath.Join(p.home, file), packed, 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// build pushes an image, or an index of platforms, to elsewhere.
func (p *workplace) build(repository, tag, seed string, platforms ...string) ocispec.Descriptor {
	p.t.Helper()
	d, err := registrytest.PushImage(p.t.Context(), p.elsewhere.Host, repository, tag, seed)
	if len(platforms) > 0 {
		d, err = registrytest.PushIndex(p.t.Context(), p.elsewhere.Host, repository, tag, platforms, seed)
	}
	if err != nil {
		p.t.Fatal(err)
	}
	return d
}

// layout writes an image of elsewhere to an OCI layout in the working directory.
func (p *workplace) layout(repository, tag, folder, name string) {
	p.t.Helper()
	if err := registrytest.WriteLayout(p.t.Context(), p.elsewhere.Host, repository, tag, filepath.Join(p.home, folder), name); err != nil {
		p.t.Fatal(err)
	}
}

func blobUploads(req *http.Request) bool {
	return req.Method == http.MethodPut && strings.Contains(req.URL.Path, "/blobs/uploads/")
}

// column returns one column of the table, by artifact.
func column(table string, n int) map[string]string {
	all := map[string]string{}
	for _, line := range strings.Split(table, "\n")[1:] {
		if fields := strings.Fields(line); len(fields) > n {
			all[fields[0]] = fields[n]
		}
	}
	return all
}

// helmPulls checks that Helm pulls exactly the archive that was published.
func (p *workplace) helmPulls(name, version, file string) {
	p.t.Helper()
	p.helm("pull", "oci://"+p.registry.Host+"/acme/m/"+name, "--version", version, "--plain-http", "--destination", filepath.Join(p.home, "pulled"))
	want, err := os.ReadFile(filepath.Join(p.home, file))
	p.Expect(err).NotTo(gomega.HaveOccurred())
	pulled, err := filepath.Glob(filepath.Join(p.home, "pulled", name+"-*.tgz"))
	p.Expect(err).NotTo(gomega.HaveOccurred())
	p.Expect(pulled).To(gomega.HaveLen(1))
	got, err := os.ReadFile(pulled[0])
	p.Expect(err).NotTo(gomega.HaveOccurred())
	p.Expect(got).To(gomega.Equal(want))
}

// helm runs the helm that `make test` builds.
func (p *workplace) helm(args ...string) {
	p.t.Helper()
	program := filepath.Join(environment.Root(), "bin", "tools", "helm")
	if _, err := os.Stat(program); err != nil {
		p.t.Skip("no bin/tools/helm: make bin/tools/helm")
	}
	if err := os.MkdirAll(filepath.Join(p.home, "pulled"), 0o700); err != nil {
		p.t.Fatal(err)
	}
	cmd := exec.CommandContext(p.t.Context(), program, args...)
	cmd.Dir = p.home
	cmd.Env = append(os.Environ(), "HELM_CONFIG_HOME="+p.home, "HELM_CACHE_HOME="+p.home, "HELM_DATA_HOME="+p.home, "DOCKER_CONFIG="+p.home)
	if out, err := cmd.CombinedOutput(); err != nil {
		p.t.Fatalf("helm %v: %v: %s", args, err, out)
	}
}

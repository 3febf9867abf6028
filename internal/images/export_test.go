package images

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/plugin"
	"github.com/nfo-operator/nfo/internal/plugin/logins"
	"github.com/nfo-operator/nfo/internal/plugin/plugintest"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/credential"
	"github.com/nfo-operator/nfo/internal/registry/oci"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
	"github.com/nfo-operator/nfo/internal/rewrite"
)

// site is a cluster with a mirror that has images, and with Artifacts in the namespaces ran and core.
type site struct {
	*plugintest.Cluster
	t    *testing.T
	from *registrytest.Registry
	out  bytes.Buffer
	says bytes.Buffer
}

func newSite(t *testing.T) *site {
	t.Helper()
	plugintest.Homeless(t)
	s := &site{Cluster: plugintest.NewCluster(t), t: t, from: registrytest.Start(t)}
	s.Mirror(t, v1alpha1.RewriteAlways)
	return s
}

// has adds an image to the mirror and its Artifact to a namespace. It returns the image's digest.
func (s *site) has(namespace, image string) string {
	s.t.Helper()
	i, err := rewrite.Parse(image)
	if err != nil {
		s.t.Fatal(err)
	}
	d, err := registrytest.PushIndex(s.t.Context(), s.from.Host, i.Path(), "1", []string{"linux/amd64", "linux/arm64"}, i.Repository)
	if err == nil {
		_, err = registrytest.PushImage(s.t.Context(), s.from.Host, i.Path(), "sha256-"+d.Digest.Encoded()+".sig", "signature of "+i.Repository)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	from, err := registry.Open(registry.Config{Location: s.from.Location("")})
	if err != nil {
		s.t.Fatal(err)
	}
	defer from.Close()
	to, err := registry.Open(registry.Config{Location: s.Registry.Location(v1alpha1.MirrorPrefix), CABundle: s.Registry.CA, Credential: credential.OfToken("token-of-p:ci")})
	if err != nil {
		s.t.Fatal(err)
	}
	defer to.Close()
	for _, tag := range []string{"1", "sha256-" + d.Digest.Encoded() + ".sig"} {
		source, err := from.Source(s.t.Context(), i.Path(), tag)
		if err == nil {
			err = to.Copy(s.t.Context(), i.MirrorRepository(), source, func(int64) {})
		}
		if err == nil && (tag != "1" || i.Digest == "") {
			err = to.Tag(s.t.Context(), i.MirrorRepository(), tag, source, "")
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
	s.needs(namespace, image)
	return d.Digest.String()
}

func (s *site) needs(namespace, image string) {
	s.t.Helper()
	i, err := rewrite.Parse(image)
	if err == nil {
		err = s.API.Create(s.t.Context(), i.Artifact(namespace))
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// export runs the command for all namespaces, or for the given one.
func (s *site) export(to string, change func(*imagesFlags), namespace ...string) error {
	s.t.Helper()
	s.out.Reset()
	s.says.Reset()
	f := &imagesFlags{
		Flags:  logins.Flags{Account: "p:ci", Config: genericclioptions.NewConfigFlags(false)},
		export: to, mirrorNamespace: v1alpha1.ManagerNamespace, output: "table", streams: genericiooptions.IOStreams{Out: &s.out, ErrOut: &s.says},
	}
	if change != nil {
		change(f)
	}
	if err := f.validate(func(string) bool { return false }); err != nil {
		return err
	}
	return f.exportMirrored(s.t.Context(), s.API, strings.Join(namespace, ""))
}

// opened opens an exported layout until the test ends.
func opened(t *testing.T, name string) *oci.Layout {
	t.Helper()
	open := oci.OpenLayout
	if strings.HasSuffix(name, ".tar") {
		open = oci.OpenLayoutArchive
	}
	l, err := open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// exportedTo returns the images of an exported layout, with the digest of each and the number of its satellites.
func exportedTo(t *testing.T, name string) map[string]string {
	t.Helper()
	l := opened(t, name)
	all := map[string]string{}
	for _, d := range l.Images {
		satellite, err := l.IsSatellite(t.Context(), d)
		if err != nil || satellite {
			continue
		}
		s, err := l.Source(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		attached, err := l.Satellites(t.Context(), d, s)
		if err != nil {
			t.Fatal(err)
		}
		all[oci.ImageName(d)] = strings.Repeat("signed ", len(attached)) + d.Digest.String()
	}
	return all
}

func blobs(r *registrytest.Registry) int {
	return r.Count(func(req *http.Request) bool {
		return req.Method == http.MethodGet && strings.Contains(req.URL.Path, "/blobs/")
	})
}

func TestExport(t *testing.T) {
	for _, name := range []string{"site.tar", "site"} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			upf, port := s.has("ran", "r.example/acme/upf:1"), s.has("core", "r.example:5000/acme/amf:1")
			s.needs("core", "r.example/acme/upf:1") // an image is exported once
			to := filepath.Join(t.TempDir(), name)
			if err := s.export(to, nil, "ran"); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(map[string]string{"r.example/acme/upf:1": "signed " + upf}, exportedTo(t, to)); diff != "" {
				t.Errorf("of one namespace (-want +got):\n%s", diff)
			}
			if err := s.export(to, nil); err != nil {
				t.Fatal(err)
			}
			want := map[string]string{"r.example/acme/upf:1": "signed " + upf, "r.example:5000/acme/amf:1": "signed " + port}
			if diff := cmp.Diff(want, exportedTo(t, to)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if !strings.Contains(s.says.String(), "r.example:5000/acme/amf:1: exporting") || !strings.Contains(s.says.String(), to+" is complete") {
				t.Errorf("it says %q", s.says.String())
			}
			s.Registry.Forget()
			if err := s.export(to, func(f *imagesFlags) { f.output = "json" }); err != nil || blobs(s.Registry) > 0 || s.Registry.Writes() > 0 {
				t.Errorf("%v; the second time %d blobs are read, with %d writes, want none", err, blobs(s.Registry), s.Registry.Writes())
			}
			var says struct{ Images []exported }
			if err := json.Unmarshal(s.out.Bytes(), &says); err != nil || len(says.Images) != 2 || says.Images[0] != (exported{"r.example/acme/upf:1", upf, resultExported, ""}) {
				t.Errorf("%v: %s", err, s.out.String())
			}
		})
	}
}

func TestExportByDigest(t *testing.T) {
	s := newSite(t)
	d, err := registrytest.PushIndex(t.Context(), s.from.Host, "r.example/acme/upf", "1", []string{"linux/amd64", "linux/arm64"}, "acme/upf")
	if err != nil {
		t.Fatal(err)
	}
	image := "r.example/acme/upf@" + d.Digest.String()
	s.has("ran", image)
	to := filepath.Join(t.TempDir(), "site.tar")
	if err := s.export(to, func(f *imagesFlags) { f.withoutSatellites = true }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{image: d.Digest.String()}, exportedTo(t, to)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// An export fails if it leaves out an image, but exports the images that the mirror has.
func TestAnExportSaysWhatItLeavesOut(t *testing.T) {
	s := newSite(t)
	s.has("ran", "r.example/acme/upf:1")
	s.needs("ran", "r.example/acme/none:1")
	to := filepath.Join(t.TempDir(), "site.tar")
	err := s.export(to, nil)
	var coded *plugin.Error
	if !errors.As(err, &coded) || coded.Code != plugin.ExitFailed || !strings.Contains(err.Error(), "1 of 2 images are not in the layout: r.example/acme/none:1") {
		t.Errorf("%v, want what is missing", err)
	}
	if got := exportedTo(t, to); len(got) != 1 {
		t.Errorf("the layout has %v", got)
	}
	if !strings.Contains(s.out.String(), resultMissing) {
		t.Errorf("it says %s", s.out.String())
	}
}

func TestExportsThatWriteNothing(t *testing.T) {
	for name, tc := range map[string]struct {
		reason string
		change func(*imagesFlags)
		make   func(s *site)
		says   string
	}{
		"Nothing":   {"no Artifact", nil, func(*site) {}, "nothing to export"},
		"None":      {"the mirror has none of them", nil, func(s *site) { s.needs("ran", "r.example/acme/upf:1") }, "the mirror has none of the 1 images"},
		"Denied":    {"an account without the right", func(f *imagesFlags) { f.Account = "p:nobody" }, func(s *site) { s.has("ran", "r.example/acme/upf:1") }, "this is as ServiceAccount p:nobody"},
		"NoMirror":  {"another namespace has none", func(f *imagesFlags) { f.mirrorNamespace = "other" }, func(s *site) { s.has("ran", "r.example/acme/upf:1") }, "no mirror in namespace other"},
		"Name":      {"a list is another thing", func(f *imagesFlags) { f.output = "name" }, func(*site) {}, "a table or json"},
		"NoAccount": {"a name that none can have", func(f *imagesFlags) { f.Account = "../ci" }, func(*site) {}, "is not a ServiceAccount"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			tc.make(s)
			folder := t.TempDir()
			err := s.export(filepath.Join(folder, "site.tar"), tc.change)
			if err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%s: %v, want %q", tc.reason, err, tc.says)
			}
			if left, err := os.ReadDir(folder); err != nil || len(left) > 0 {
				t.Errorf("%s: %v, %v is left", tc.reason, err, left)
			}
		})
	}
}

// A registry that is unavailable for a moment does not end an export.
func TestAnExportTriesAgain(t *testing.T) {
	s := newSite(t)
	s.has("ran", "r.example/acme/upf:1")
	s.Registry.Forget()
	s.Registry.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if blobs(s.Registry) == 2 && strings.Contains(r.URL.Path, "/blobs/") {
			_, _ = w.Write([]byte("{"))
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		return false
	})
	to := filepath.Join(t.TempDir(), "site.tar")
	if err := s.export(to, nil); err != nil {
		t.Fatal(err)
	}
	if got := exportedTo(t, to); len(got) != 1 {
		t.Errorf("the layout has %v", got)
	}
}

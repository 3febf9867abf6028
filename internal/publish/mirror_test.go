package publish

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/plugin/logins"
	"github.com/nfo-operator/nfo/internal/plugin/plugintest"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/credential"
	"github.com/nfo-operator/nfo/internal/registry/oci"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
	"github.com/nfo-operator/nfo/internal/rewrite"
)

// ci is an account that may push into the mirror, too.
const ci = "p:ci"

// site is a cluster with a mirror, and a registry to copy from.
type site struct {
	*plugintest.Cluster
	t      *testing.T
	from   *registrytest.Registry
	client *registry.Client // of the mirror
	out    bytes.Buffer
	says   bytes.Buffer
	change func(*publishFlags)
	stall  time.Duration // 0: the command's default
}

func newSite(t *testing.T, policy v1alpha1.RewritePolicy) *site {
	t.Helper()
	plugintest.Homeless(t)
	s := &site{Cluster: plugintest.NewCluster(t), t: t, from: registrytest.Start(t), change: func(*publishFlags) {}}
	s.Mirror(t, policy)
	config := registry.Config{Location: s.Registry.Location(v1alpha1.MirrorPrefix), CABundle: s.Registry.CA, Credential: credential.OfToken("token-of-" + ci)}
	var err error
	if s.client, err = registry.Open(config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.client.Close)
	return s
}

// load runs the command in the namespace ran.
func (s *site) load(args ...string) error {
	s.t.Helper()
	s.out.Reset()
	s.says.Reset()
	f := &publishFlags{mirror: true, mirrorNamespace: v1alpha1.ManagerNamespace, output: "table", streams: genericiooptions.IOStreams{Out: &s.out, ErrOut: &s.says}}
	f.Flags = logins.Flags{Account: ci, Config: kubeconfig(""), PlainHosts: []string{s.from.Host}}
	s.change(f)
	named, err := parseSources(args, isImage)
	if err != nil {
		return err
	}
	t, err := f.findMirror(s.t.Context(), s.API, "ran")
	if err != nil {
		return err
	}
	defer t.client.Close()
	o := &opener{flags: f, target: t}
	defer o.close()
	found, err := o.open(s.t.Context(), named)
	if err != nil {
		return err
	}
	p, err := newPublication(t, found)
	if err != nil {
		return err
	}
	if s.stall > 0 {
		p.stall = s.stall
	}
	return f.publish(s.t.Context(), p, named)
}

// at returns the digest that nodes get for an image, "" if the mirror does not have it.
func (s *site) at(image string) string {
	s.t.Helper()
	i, err := rewrite.Parse(image)
	if err != nil {
		s.t.Fatal(err)
	}
	reference := i.Tag
	if i.Digest != "" {
		reference = i.Digest
	}
	d, err := s.client.Resolve(s.t.Context(), i.MirrorRepository(), reference)
	if errors.Is(err, registry.ErrNotFound) {
		return ""
	}
	if err == nil {
		err = s.client.Verify(s.t.Context(), i.MirrorRepository(), "", d)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return d.Digest.String()
}

func (s *site) artifact(image string) *v1alpha1.Artifact {
	a := &v1alpha1.Artifact{}
	err := s.API.Get(s.t.Context(), client.ObjectKey{Namespace: "ran", Name: v1alpha1.ArtifactName(image)}, a)
	if client.IgnoreNotFound(err) != nil {
		s.t.Fatal(err)
	}
	if err != nil {
		return nil
	}
	return a
}

func (s *site) build(repository, seed string) ocispec.Descriptor {
	s.t.Helper()
	d, err := registrytest.PushIndex(s.t.Context(), s.from.Host, repository, "1", []string{"linux/amd64", "linux/arm64"}, seed)
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

func (s *site) layout(folder, repository, name string) {
	s.t.Helper()
	if err := registrytest.WriteLayout(s.t.Context(), s.from.Host, repository, "1", folder, name); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) uploads() int {
	return s.Registry.Count(func(r *http.Request) bool {
		return r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/blobs/")
	})
}

// Each kind of source comes into the mirror under the name by which pods use the image.
func TestIntoTheMirror(t *testing.T) {
	const upf, port = "r.example.com/acme/upf:1", "r.example.com:5000/acme/upf:1"
	for name, tc := range map[string]struct {
		reason string
		args   func(s *site, folder string, d ocispec.Descriptor) string
		image  string // %s stands for the host of the registry it comes from, and @ for its digest
	}{
		"Registry": {"its own name", func(s *site, _ string, _ ocispec.Descriptor) string { return s.from.Host + "/x/upf:1" }, "%s/x/upf:1"},
		"Digest": {"by digest it has no tag", func(s *site, _ string, d ocispec.Descriptor) string {
			return s.from.Host + "/x/upf@" + d.Digest.String()
		}, "%s/x/upf@"},
		"Renamed":     {"a registry that has a copy", func(s *site, _ string, _ ocispec.Descriptor) string { return upf + "=" + s.from.Host + "/x/upf:1" }, upf},
		"RenamedPort": {"a host with a port", func(s *site, _ string, _ ocispec.Descriptor) string { return port + "=" + s.from.Host + "/x/upf:1" }, port},
		"RenamedDigest": {"under its digest", func(s *site, _ string, d ocispec.Descriptor) string {
			return "r.example.com/acme/upf@" + d.Digest.String() + "=" + s.from.Host + "/x/upf:1"
		}, "r.example.com/acme/upf@"},
		"Layout": {"the whole name in a layout", func(s *site, folder string, _ ocispec.Descriptor) string {
			s.layout(folder, "x/upf", upf)
			return "oci:" + folder
		}, upf},
		"Archive": {"or an archive", func(s *site, folder string, _ ocispec.Descriptor) string {
			s.layout(folder, "x/upf", upf)
			if err := registrytest.PackLayout(folder, folder+".tar"); err != nil {
				s.t.Fatal(err)
			}
			return "oci-archive:" + folder + ".tar"
		}, upf},
		"LayoutRenamed": {"a layout that has a tag alone", func(s *site, folder string, _ ocispec.Descriptor) string {
			s.layout(folder, "x/upf", "1")
			return upf + "=oci:" + folder + ":1"
		}, upf},
		"Hub": {"Docker Hub's own", func(s *site, _ string, _ ocispec.Descriptor) string {
			return "docker.io/nginx:1=" + s.from.Host + "/x/upf:1"
		}, "docker.io/library/nginx:1"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, v1alpha1.RewriteAlways)
			d := s.build("x/upf", "upf")
			if err := s.load(tc.args(s, filepath.Join(t.TempDir(), "upf"), d)); err != nil {
				t.Fatalf("%s: %v", tc.reason, err)
			}
			image := strings.Replace(tc.image, "%s", s.from.Host, 1)
			if strings.HasSuffix(image, "@") {
				image += d.Digest.String()
			}
			if got := s.at(image); got != d.Digest.String() {
				t.Errorf("%s: the mirror has %q, want %s", tc.reason, got, d.Digest)
			}
			if a := s.artifact(image); a == nil || a.Spec.SourceArtifact != image || a.Kept() {
				t.Errorf("%s: its Artifact is %+v", tc.reason, a)
			}
			if !strings.Contains(s.out.String(), image) || !strings.Contains(s.out.String(), d.Digest.String()) || s.says.Len() > 0 && strings.Contains(s.says.String(), "note:") {
				t.Errorf("%s: it says %s%s", tc.reason, s.out.String(), s.says.String())
			}
			if tags, err := registrytest.TagDigest(t.Context(), s.from.Host, "x/upf", "1"); err != nil || tags != d.Digest {
				t.Errorf("%s: the source is at %s, %v", tc.reason, tags, err)
			}
		})
	}
}

func TestIntoTheMirrorTwice(t *testing.T) {
	s := newSite(t, v1alpha1.RewritePresent)
	s.build("x/upf", "upf")
	s.build("x/amf", "upf") // of the same layers
	folder := filepath.Join(t.TempDir(), "site")
	s.layout(folder, "x/upf", "r.example.com/acme/upf:1")
	s.layout(folder, "x/amf", "r.example.com/acme/amf:1")
	if err := s.load("oci:" + folder); err != nil {
		t.Fatal(err)
	}
	if n := s.uploads(); n != 4 {
		t.Errorf("%d blobs were sent, want a config and a layer for each platform: the other image's are mounted", n)
	}
	if !strings.Contains(s.says.String(), "mirror.rewrite to Always") {
		t.Errorf("it says %q, and not what the pods of a site without an uplink need", s.says.String())
	}
	s.Registry.Forget()
	if err := s.load("oci:" + folder); err != nil {
		t.Fatal(err)
	}
	if s.Registry.Writes() > 0 || strings.Count(s.out.String(), "there already") != 2 {
		t.Errorf("%d writes the second time: %s", s.Registry.Writes(), s.out.String())
	}
}

func TestWhatTheMirrorDoesNotTake(t *testing.T) {
	const upf = "r.example.com/acme/upf:1"
	for name, tc := range map[string]struct {
		reason string
		args   func(s *site, folder string) []string
		says   string
	}{
		"Taken": {"the pods of all namespaces would get another image", func(s *site, _ string) []string { return []string{upf + "=" + s.from.Host + "/x/new:1"} }, "--overwrite replaces it, for the pods of all namespaces"},
		"NoName": {"a tag says no image", func(s *site, folder string) []string {
			s.layout(folder, "x/new", "1")
			return []string{"oci:" + folder}
		}, "does not say which image it is"},
		"NoHost": {"nor is it Docker Hub's", func(s *site, folder string) []string {
			s.layout(folder, "x/new", "new:1")
			return []string{"oci:" + folder}
		}, "write HOST/REPOSITORY:TAG=oci:"},
		"Twice": {"one of the two would be lost", func(s *site, _ string) []string {
			return []string{upf + "=" + s.from.Host + "/x/new:1", upf + "=" + s.from.Host + "/x/old:1"}
		}, "are both " + upf},
		"Other": {"it is not what the name says", func(s *site, _ string) []string {
			return []string{"r.example.com/acme/upf@" + plugintest.One + "=" + s.from.Host + "/x/new:1"}
		}, "/x/new:1 is sha256:"},
		"Missing": {"it is not there", func(s *site, _ string) []string { return []string{s.from.Host + "/x/none:1"} }, "not found"},
		"NotTar": {"an archive that is not one", func(_ *site, folder string) []string {
			write(folder, "x")
			return []string{upf + "=oci-archive:" + folder}
		}, "not a tar archive"},
		"HugeIndex": {"an index.json without end", func(_ *site, folder string) []string {
			_ = os.MkdirAll(folder, 0o700)
			write(filepath.Join(folder, "oci-layout"), `{"imageLayoutVersion":"1.0.0"}`)
			write(filepath.Join(folder, "index.json"), strings.Repeat(" ", registry.MaxManifestBytes+1))
			return []string{"oci:" + folder}
		}, "too large"},
		"MissingBlob": {"a layout that lacks a blob", func(s *site, folder string) []string {
			s.layout(folder, "x/new", upf)
			s.spoil(folder, func(file string) error { return os.Remove(file) })
			return []string{"oci:" + folder}
		}, "it is named and is not there"},
		"WrongBlob": {"a blob that is not of its digest", func(s *site, folder string) []string {
			s.layout(folder, "x/new", "r.example.com/acme/new:1")
			s.spoil(folder, func(file string) error {
				info, err := os.Stat(file)
				return errors.Join(err, os.WriteFile(file, make([]byte, info.Size()), 0o600))
			})
			return []string{"oci:" + folder}
		}, "do not have this digest"},
		"Traversal": {"an archive whose names lead out of it", func(_ *site, folder string) []string {
			return []string{"oci-archive:" + traversing(folder+".tar")}
		}, "it is not a digest"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, v1alpha1.RewriteAlways)
			s.build("x/old", "old")
			s.build("x/new", "new")
			if err := s.load(upf + "=" + s.from.Host + "/x/old:1"); err != nil {
				t.Fatal(err)
			}
			before := s.at(upf)
			err := s.load(tc.args(s, filepath.Join(t.TempDir(), "site"))...)
			if err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%s: %v, want %q", tc.reason, err, tc.says)
			}
			if s.at(upf) != before || s.at("r.example.com/acme/new:1") != "" {
				t.Errorf("%s: the mirror has another image", tc.reason)
			}
		})
	}
}

func write(file, text string) { _ = os.WriteFile(file, []byte(text), 0o600) }

// spoil applies a change to the file of a layer in a layout.
func (s *site) spoil(folder string, do func(file string) error) {
	s.t.Helper()
	l, err := oci.OpenLayout(folder)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	source, err := l.Source(s.t.Context(), l.Images[0])
	if err != nil {
		s.t.Fatal(err)
	}
	blobs, _ := source.Parts()
	if err := do(filepath.Join(folder, "blobs", "sha256", blobs[0].Digest.Encoded())); err != nil {
		s.t.Fatal(err)
	}
}

// traversing writes an archive with a layout whose digests are paths out of it.
func traversing(name string) string {
	file, err := os.Create(name)
	if err != nil {
		panic(err)
	}
	w := tar.NewWriter(file)
	for entry, text := range map[string]string{
		"oci-layout":          `{"imageLayoutVersion":"1.0.0"}`,
		"index.json":          `{"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"../../../etc/passwd","size":1,"annotations":{"io.containerd.image.name":"r.example.com/acme/new:1"}}]}`,
		"../../../etc/passwd": "x",
	} {
		_ = w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: entry, Size: int64(len(text)), Mode: 0o600})
		_, _ = io.WriteString(w, text)
	}
	_ = errors.Join(w.Close(), file.Close())
	return name
}

func TestOverwriteInTheMirror(t *testing.T) {
	const upf = "r.example.com/acme/upf:1"
	s := newSite(t, v1alpha1.RewriteAlways)
	s.build("x/old", "old")
	d := s.build("x/new", "new")
	if err := s.load(upf + "=" + s.from.Host + "/x/old:1"); err != nil {
		t.Fatal(err)
	}
	s.change = func(f *publishFlags) { f.overwrite = true }
	if err := s.load(upf + "=" + s.from.Host + "/x/new:1"); err != nil || s.at(upf) != d.Digest.String() {
		t.Errorf("%v; the mirror has %s, want %s", err, s.at(upf), d.Digest)
	}
}

// The Artifact exists before anything is pushed, and its grace period starts at that time.
func TestWhatIsPushedIsHeld(t *testing.T) {
	const upf = "r.example.com/acme/upf:1"
	since := metav1.NewTime(time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC))
	for name, tc := range map[string]struct {
		reason  string
		there   func(*v1alpha1.Artifact) // nil for none
		keep    bool
		kept    bool
		anew    bool
		fades   bool // and the command says so
		says    string
		pushed  bool
		refuses bool // the API server
	}{
		"New":      {reason: "it is made", pushed: true, anew: true},
		"Keep":     {reason: "for a site that is not installed yet", keep: true, kept: true, pushed: true, anew: true},
		"Used":     {reason: "it stays as it is", there: func(a *v1alpha1.Artifact) { a.Status.UserCount = 1 }, pushed: true},
		"UsedKeep": {reason: "it gets the annotation", there: func(a *v1alpha1.Artifact) { a.Status.UserCount = 1 }, keep: true, kept: true, pushed: true},
		"Unused":   {reason: "a purge would count the time before", there: func(a *v1alpha1.Artifact) { a.Status.UnusedSince = &since }, pushed: true, anew: true},
		"UnusedKept": {reason: "and it stays kept", there: func(a *v1alpha1.Artifact) {
			a.Status.UnusedSince = &since
			a.Annotations = map[string]string{v1alpha1.AnnotationKeep: "true"}
		}, pushed: true, kept: true, anew: true},
		"Present": {reason: "while its source is down, pods are sent to the mirror by its status alone", there: func(a *v1alpha1.Artifact) {
			a.Status.UnusedSince, a.Status.State = &since, v1alpha1.MirrorPresent
		}, pushed: true, fades: true},
		"PresentKeep": {reason: "the annotation holds it, whatever time a purge counts", there: func(a *v1alpha1.Artifact) {
			a.Status.UnusedSince, a.Status.State = &since, v1alpha1.MirrorPresent
		}, keep: true, pushed: true, kept: true},
		"Releasing":  {reason: "what is pushed now would go", there: func(a *v1alpha1.Artifact) { a.Status.State = v1alpha1.MirrorReleasing }, says: "a purge is removing its copy"},
		"OtherImage": {reason: "its name is taken", there: func(a *v1alpha1.Artifact) { a.Spec.SourceArtifact = "r.example.com/other:1" }, says: "is taken by the Artifact of r.example.com/other:1"},
		"Refused":    {reason: "a user without the right", refuses: true, says: "making the Artifact of " + upf + " in namespace ran"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, v1alpha1.RewriteAlways)
			s.build("x/upf", "upf")
			before := rewrite.Image{Host: "r.example.com", Repository: "acme/upf", Tag: "1"}.Artifact("ran")
			before.UID = "before"
			if tc.there != nil {
				tc.there(before)
				if err := s.API.Create(t.Context(), before); err != nil {
					t.Fatal(err)
				}
			}
			if tc.refuses {
				s.API = refusing{s.API}
			}
			s.change = func(f *publishFlags) { f.keep, f.output = tc.keep, "json" }
			err := s.load(upf + "=" + s.from.Host + "/x/upf:1")
			if failed := strings.Contains(s.out.String(), `"result": "Failed"`) && strings.Contains(s.out.String(), tc.says); failed != (tc.says != "") {
				t.Errorf("%s: as JSON it prints %s", tc.reason, s.out.String())
			}
			if (err == nil) != (tc.says == "") || err != nil && (!strings.Contains(err.Error(), tc.says) || !strings.Contains(err.Error(), "nothing was pushed")) {
				t.Fatalf("%s: %v, want %q", tc.reason, err, tc.says)
			}
			if (s.at(upf) != "") != tc.pushed {
				t.Errorf("%s: the mirror has %q", tc.reason, s.at(upf))
			}
			if strings.Contains(s.says.String(), "held "+upf+" already") != tc.fades {
				t.Errorf("%s: it says %q", tc.reason, s.says.String())
			}
			if a := s.artifact(upf); tc.pushed && (a == nil || a.Kept() != tc.kept || (a.UID != "before") != tc.anew) {
				t.Errorf("%s: the Artifact is %+v", tc.reason, a)
			}
		})
	}
}

// refusing is an API server that refuses to create Artifacts.
type refusing struct{ client.Client }

func (r refusing) Create(ctx context.Context, o client.Object, options ...client.CreateOption) error {
	if _, ok := o.(*v1alpha1.Artifact); ok {
		return plugintest.Forbidden("artifacts")
	}
	return r.Client.Create(ctx, o, options...)
}

func TestNoMirror(t *testing.T) {
	plugintest.Homeless(t)
	c := plugintest.NewCluster(t)
	f := &publishFlags{mirrorNamespace: v1alpha1.ManagerNamespace, Flags: logins.Flags{Account: ci, Config: kubeconfig("")}}
	if _, err := f.findMirror(t.Context(), c.API, "ran"); err == nil || !strings.Contains(err.Error(), "mirror.enabled makes one") {
		t.Errorf("%v, want what makes a mirror", err)
	}
}

func TestIsImage(t *testing.T) {
	t.Parallel()
	got := map[string]bool{}
	want := map[string]bool{
		"r.example.com/a:1": true, "localhost/a:1": true, "r:5000/a/b:1": true, "r.example.com/a@" + digest.FromString("x").String(): true,
		"a:1": false, "library/nginx:1": false, "r.example.com/a": false, "1": false, "": false, "oci:r.example.com/a:1": false,
	}
	for text := range want {
		got[text] = isImage(text)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

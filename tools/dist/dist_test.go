package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/google/go-cmp/cmp"
	"github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/provenance"
	"sigs.k8s.io/yaml"
)

const chartFolder = "../../charts/nfo"

// makeRelease makes a release of the test program itself, and returns the folder.
func makeRelease(t *testing.T) string {
	t.Helper()
	out := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(out, "nfo-1.2.3-image.tar"), "an image")
	flags := []string{"--version", "v1.2.3", "--epoch", "1700000000", "--out", out}
	for _, command := range [][]string{
		append([]string{"chart", "--chart", chartFolder}, flags...),
		append([]string{
			"release", "--downloads", "https://example.com/v1.2.3", "--license", "../../LICENSE", "--image", "nfo-1.2.3-image.tar", "--program", self,
			"--plugin", "linux/amd64=" + self, "--plugin", "windows/amd64=" + self,
		}, flags...),
	} {
		if err := dispatch(command, io.Discard); err != nil {
			t.Fatalf("%v: %v", command, err)
		}
	}
	return out
}

func TestTwoReleasesHaveTheSameBytes(t *testing.T) {
	t.Parallel()
	began := time.Now()
	first := sums(t, makeRelease(t))
	second := sums(t, makeRelease(t))
	for time.Since(began) < time.Second { // times in archives have a resolution of 1 s: repeat until the second differs
		second = sums(t, makeRelease(t))
	}
	if diff := cmp.Diff(first, second); diff != "" {
		t.Errorf("the second release differs (-first +second):\n%s", diff)
	}
	want := []string{"SHA256SUMS", "krew.yaml", "kubectl-nfo_1.2.3_linux_amd64.tar.gz", "kubectl-nfo_1.2.3_windows_amd64.zip", "nfo-1.2.3-image.tar", "nfo-1.2.3.spdx.json", "nfo-1.2.3.tgz"}
	names := []string{}
	for name := range first {
		names = append(names, name)
	}
	slices.Sort(names)
	if !slices.Equal(names, want) {
		t.Errorf("the files are %v, want %v", names, want)
	}
}

func TestChartIsWhole(t *testing.T) {
	t.Parallel()
	got, err := loader.Load(filepath.Join(makeRelease(t), "nfo-1.2.3.tgz"))
	if err != nil {
		t.Fatal(err)
	}
	want, err := loader.LoadDir(chartFolder)
	if err != nil {
		t.Fatal(err)
	}
	if got.Metadata.Version != "1.2.3" || got.Metadata.AppVersion != "1.2.3" {
		t.Errorf("the version is %s of %s", got.Metadata.Version, got.Metadata.AppVersion)
	}
	if len(got.Templates) != len(want.Templates) || len(got.Files) != len(want.Files) || len(got.Schema) != len(want.Schema) {
		t.Errorf("%d templates and %d files, want %d and %d", len(got.Templates), len(got.Files), len(want.Templates), len(want.Files))
	}
}

func TestChartVersion(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ reason, version, want string }{
		{"a tag", "v1.2.3", `^1\.2\.3$`},
		{"a tag before a release", "1.2.3-rc.1", `^1\.2\.3-rc\.1$`},
		{"a commit, whose number may begin with 0", "0658440ab12f-dirty", `^0\.[0-9.]+-dev\.g0658440ab12f-dirty$`},
		{"characters that no version has", "a/b_c", `-dev\.ga-b-c$`},
	} {
		got, err := options{version: tc.version, chart: chartFolder}.chartVersion()
		if err != nil || !regexp.MustCompile(tc.want).MatchString(got) {
			t.Errorf("%s: %q, %v; want %s", tc.reason, got, err, tc.want)
		}
	}
}

func TestArchivesHoldThePlugin(t *testing.T) {
	t.Parallel()
	out := makeRelease(t)
	file, err := os.Open(filepath.Join(out, "kubectl-nfo_1.2.3_linux_amd64.tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	z, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for r := tar.NewReader(z); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, header.Name)
		if header.Name == "kubectl-nfo" && header.Mode != 0o755 {
			t.Errorf("the program has the mode %o", header.Mode)
		}
	}
	if !slices.Equal(names, []string{"LICENSE", "kubectl-nfo"}) {
		t.Errorf("the archive holds %v", names)
	}
	windows, err := zip.OpenReader(filepath.Join(out, "kubectl-nfo_1.2.3_windows_amd64.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = windows.Close() }()
	if len(windows.File) != 2 || windows.File[1].Name != "kubectl-nfo.exe" {
		t.Errorf("the archive for Windows holds %d files", len(windows.File))
	}
}

func TestKrewFindsTheArchives(t *testing.T) {
	t.Parallel()
	out := makeRelease(t)
	var manifest krewManifest
	if err := yaml.UnmarshalStrict([]byte(readFile(t, out, "krew.yaml")), &manifest); err != nil {
		t.Fatal(err)
	}
	if manifest.Metadata.Name != "nfo" || manifest.Spec.Version != "v1.2.3" || len(manifest.Spec.Platforms) != 2 {
		t.Fatalf("%+v", manifest)
	}
	all := readFile(t, out, sumsFile)
	for _, p := range manifest.Spec.Platforms {
		name, under := strings.CutPrefix(p.URI, "https://example.com/v1.2.3/")
		if !under || !strings.Contains(all, p.SHA256+"  "+name+"\n") {
			t.Errorf("%s with %s is not among\n%s", p.URI, p.SHA256, all)
		}
	}
}

func TestSBOMListsTheModulesOfTheProgram(t *testing.T) {
	t.Parallel()
	var document v2_3.Document
	if err := json.ReadInto(strings.NewReader(readFile(t, makeRelease(t), "nfo-1.2.3.spdx.json")), &document); err != nil {
		t.Fatal(err)
	}
	versions, ids := map[string]string{}, map[string]bool{}
	for _, p := range document.Packages {
		if ids[string(p.PackageSPDXIdentifier)] {
			t.Errorf("two packages are called %s", p.PackageSPDXIdentifier)
		}
		versions[p.PackageName], ids[string(p.PackageSPDXIdentifier)] = p.PackageVersion, true
	}
	for _, want := range []string{"stdlib", "helm.sh/helm/v3", "github.com/spdx/tools-golang", "nfo-1.2.3-image.tar", "kubectl-nfo_1.2.3_windows_amd64.zip"} {
		if versions[want] == "" {
			t.Errorf("no %s with a version among %d packages", want, len(versions))
		}
	}
	for _, r := range document.Relationships {
		if to := string(r.RefB.ElementRefID); !ids[to] {
			t.Errorf("%s is not a package", to)
		}
	}
}

func TestSignaturesAreOfTheGivenKey(t *testing.T) {
	t.Parallel()
	out, keyFile := makeRelease(t), filepath.Join(t.TempDir(), "key.asc")
	key := newKey(t, keyFile, "secret")
	if err := sign(out, keyFile, []byte("wrong")); err == nil {
		t.Fatal("a wrong passphrase signs")
	}
	if err := sign(out, keyFile, []byte("secret")); err != nil {
		t.Fatal(err)
	}
	ring := openpgp.EntityList{key}
	chart := filepath.Join(out, "nfo-1.2.3.tgz")
	if _, err := (&provenance.Signatory{KeyRing: ring}).Verify(chart, chart+".prov"); err != nil {
		t.Errorf("verifying the chart: %v", err)
	}
	signature := readFile(t, out, sumsFile+".asc")
	for text, valid := range map[string]bool{readFile(t, out, sumsFile): true, readFile(t, out, sumsFile) + " ": false} {
		if _, err := openpgp.CheckArmoredDetachedSignature(ring, strings.NewReader(text), strings.NewReader(signature), nil); (err == nil) != valid {
			t.Errorf("verifying the checksums: %v, want valid: %t", err, valid)
		}
	}
	other := openpgp.EntityList{newKey(t, filepath.Join(t.TempDir(), "other.asc"), "")}
	if _, err := (&provenance.Signatory{KeyRing: other}).Verify(chart, chart+".prov"); err == nil {
		t.Error("another key verifies the chart")
	}
	before := readFile(t, out, sumsFile)
	if _, err := writeSums(out); err != nil || readFile(t, out, sumsFile) != before {
		t.Errorf("the checksums change with signatures: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	notKey := filepath.Join(t.TempDir(), "key")
	writeFile(t, notKey, "no key")
	for _, tc := range []struct {
		reason string
		args   []string
	}{
		{"no command", nil},
		{"an unknown command", []string{"ship"}},
		{"an unknown flag", []string{"chart", "--speed"}},
		{"a missing flag", []string{"chart", "--version", "1"}},
		{"a plugin without a platform", []string{"release", "--version", "1", "--out", t.TempDir(), "--downloads", "x", "--license", "../../LICENSE", "--plugin", "x"}},
		{"a program that is not there", []string{"release", "--version", "1", "--out", t.TempDir(), "--downloads", "x", "--license", "../../LICENSE", "--plugin", "linux/amd64=" + notKey + "s"}},
		{"a program that Go did not build", []string{"release", "--version", "1", "--out", t.TempDir(), "--downloads", "x", "--license", "../../LICENSE", "--plugin", "linux/amd64=" + notKey}},
		{"a key that is not one", []string{"sign", "--out", t.TempDir(), "--key", notKey}},
	} {
		if err := dispatch(tc.args, io.Discard); err == nil {
			t.Errorf("%s: no error", tc.reason)
		}
	}
}

// newKey writes a new secret key to a file, and returns the key.
func newKey(t *testing.T, name, passphrase string) *openpgp.Entity {
	t.Helper()
	key, err := openpgp.NewEntity("nfo test", "", "test@example.com", nil)
	if err != nil {
		t.Fatal(err)
	}
	if passphrase != "" {
		if err := key.EncryptPrivateKeys([]byte(passphrase), nil); err != nil {
			t.Fatal(err)
		}
	}
	var text bytes.Buffer
	w, err := armor.Encode(&text, openpgp.PrivateKeyType, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(key.SerializePrivateWithoutSigning(w, nil), w.Close()); err != nil {
		t.Fatal(err)
	}
	writeFile(t, name, text.String())
	return key
}

// sums returns the shortened checksums of the files in a folder, by name.
func sums(t *testing.T, folder string) map[string]string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, name := range names {
		sum, err := checksum(name)
		if err != nil {
			t.Fatal(err)
		}
		all[filepath.Base(name)] = sum
	}
	return all
}

func readFile(t *testing.T, folder, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func writeFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

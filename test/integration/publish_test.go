package integration

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/onsi/gomega"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

func TestPublish(t *testing.T) {
	t.Parallel()
	p := newScene(t).workplace()
	p.manage()
	m := p.manifest("m", "upf:1.0.0_b.7", "control:1.0.0", "datapath:1.0.0", "nginx:1.25", "renamed:1")
	p.create(p.store("acme"), m)
	p.chart("chart.tgz", "upf", "1.0.0+b.7")
	control := p.build("build/control", "x", "control")
	p.layout("build/control", "x", "control", "1.0.0")
	datapath := p.build("build/dp", "x", "datapath", "linux/amd64", "linux/arm64")
	p.layout("build/dp", "x", "dp", "acme.example.com/build/datapath:1.0.0")
	p.Expect(registrytest.PackLayout(filepath.Join(p.home, "dp"), filepath.Join(p.home, "dp.tar"))).To(gomega.Succeed())
	nginx := p.build("library/nginx", "1.25", "nginx", "linux/amd64", "linux/arm64/v8")
	renamed := p.build("ci/other", "4711", "other")

	// Without sources, it lists what is missing and where to push it.
	code, out, errOut := p.publish("am/m")
	p.Expect(code).To(gomega.Equal(1), errOut)
	p.Expect(out).To(gomega.ContainSubstring(p.registry.Host + "/acme/m/upf:1.0.0_b.7"))
	p.Expect(errOut).To(gomega.ContainSubstring("5 of 5 artifacts are missing"))

	sources := []string{"am/m", "chart.tgz", "oci:control", "oci-archive:dp.tar", p.elsewhere.Host + "/library/nginx:1.25",
		"renamed:1=docker://" + p.elsewhere.Host + "/ci/other@" + renamed.Digest.String()}
	p.registry.Forget()
	code, out, errOut = p.publish(append(sources, "--dry-run")...)
	p.Expect(code).To(gomega.BeZero(), errOut)
	p.Expect(strings.Count(out, "would be pushed")).To(gomega.Equal(5), out)
	p.Expect(p.registry.Writes()).To(gomega.BeZero(), "a dry run wrote something")
	p.Expect(p.contents()).To(gomega.BeEmpty())

	code, out, errOut = p.publish(sources...)
	p.Expect(code).To(gomega.BeZero(), errOut)
	digests := column(out, 1)
	p.Expect(digests).To(gomega.HaveKeyWithValue("control:1.0.0", control.Digest.String()), out)
	p.Expect(digests).To(gomega.HaveKeyWithValue("datapath:1.0.0", datapath.Digest.String()), out)
	p.Expect(digests).To(gomega.HaveKeyWithValue("nginx:1.25", nginx.Digest.String()), out)
	p.Expect(digests).To(gomega.HaveKeyWithValue("renamed:1", renamed.Digest.String()), out)
	for name, d := range digests {
		n, v, _ := strings.Cut(name, ":")
		p.Expect(pullsWhole(t, p.inside, repository("m", n), v)).To(gomega.Equal(d), name)
	}
	p.Expect(errOut).To(gomega.ContainSubstring("upf:1.0.0_b.7: pushing "), "no progress without a terminal")
	p.Expect(errOut).NotTo(gomega.ContainSubstring("\x1b"), "control characters without a terminal")
	p.eventually(m, v1alpha1.ConditionUploaded, "True/Complete")

	// The same command pushes nothing the second time, and reports this, also as JSON.
	p.registry.Forget()
	code, out, errOut = p.publish(append(sources, "-o", "json", "--quiet")...)
	p.Expect(code).To(gomega.BeZero(), errOut)
	p.Expect(errOut).To(gomega.BeEmpty())
	p.Expect(p.registry.Writes()).To(gomega.BeZero())
	var answer struct {
		Artifacts []struct{ Artifact, Digest, Result string }
	}
	p.Expect(json.Unmarshal([]byte(out), &answer)).To(gomega.Succeed(), out)
	p.Expect(answer.Artifacts).To(gomega.HaveLen(5))
	for _, a := range answer.Artifacts {
		p.Expect(a.Result).To(gomega.Equal("Present"), a.Artifact)
		p.Expect(a.Digest).To(gomega.Equal(digests[a.Artifact]))
	}
	code, _, errOut = p.publish("am/m")
	p.Expect(code).To(gomega.BeZero(), errOut)
	p.helmPulls("upf", "1.0.0+b.7", "chart.tgz")
}

func TestPublishKnowsWhatHelmHasPushed(t *testing.T) {
	t.Parallel()
	p := newScene(t).workplace()
	p.create(p.store("acme"), p.manifest("m", "upf:1.0.0"))
	p.chart("chart.tgz", "upf", "1.0.0")
	p.helm("push", "chart.tgz", "oci://"+p.registry.Host+"/acme/m", "--plain-http")
	at := p.at(repository("m", "upf"), "1.0.0")
	p.registry.Forget()
	code, out, errOut := p.publish("am/m", "chart.tgz")
	p.Expect(code).To(gomega.BeZero(), errOut)
	p.Expect(out).To(gomega.ContainSubstring("there already, as Helm pushed it"))
	p.Expect(column(out, 1)).To(gomega.HaveKeyWithValue("upf:1.0.0", at))
	p.Expect(p.registry.Writes()).To(gomega.BeZero())
}

func TestPublishRefuses(t *testing.T) {
	t.Parallel()
	p := newScene(t).workplace()
	m := p.manifest("m", "a:1", "b:1")
	p.create(p.store("acme"), m)
	old := p.image("m", "a:1", "old").Digest.String()
	p.build("x/a", "1", "new")
	p.build("x/c", "1", "c")
	a, c := p.elsewhere.Host+"/x/a:1", p.elsewhere.Host+"/x/c:1"

	// Nothing is pushed unless everything can be pushed.
	for name, tc := range map[string]struct {
		args []string
		code int
		says string
	}{
		"NoEntry":  {[]string{"b:1=" + a, c}, 2, "c:1) fits no entry\nthe manifest lists a:1, b:1"},
		"Twice":    {[]string{"b:1=" + a, "b:1=" + c}, 2, "are both for b:1"},
		"Another":  {[]string{"b:1=" + c, a}, 1, "a:1: the tag is at " + old},
		"Unseen":   {[]string{"b:1=" + c, a, "--overwrite"}, 1, "the manager has not seen yet what is there"},
		"NotThere": {[]string{"b:1=" + p.elsewhere.Host + "/x/none:1", c}, 2, "fits no entry"},
		"NoSource": {[]string{"b:1=" + p.elsewhere.Host + "/x/none:1"}, 1, "not found"},
	} {
		p.registry.Forget()
		code, out, errOut := p.publish(append([]string{"am/m"}, tc.args...)...)
		p.Expect(code).To(gomega.Equal(tc.code), "%s: %s", name, errOut)
		p.Expect(errOut).To(gomega.ContainSubstring(tc.says), name)
		p.Expect(strings.ToLower(errOut)).To(gomega.ContainSubstring("nothing was pushed"), name)
		p.Expect(out).To(gomega.BeEmpty(), name)
		p.Expect(p.registry.Writes()).To(gomega.BeZero(), name)
	}

	// The JSON output also says which artifact failed and why.
	code, out, errOut := p.publish("am/m", "b:1="+c, a, "-o", "json")
	p.Expect(code).To(gomega.Equal(1), errOut)
	var answer struct {
		Artifacts []struct{ Artifact, Result, Message string }
	}
	p.Expect(json.Unmarshal([]byte(out), &answer)).To(gomega.Succeed(), out)
	p.Expect(answer.Artifacts).To(gomega.HaveLen(2))
	p.Expect(answer.Artifacts[0].Result).To(gomega.Equal("Failed"))
	p.Expect(answer.Artifacts[0].Message).To(gomega.ContainSubstring("the tag is at " + old))
	p.Expect(answer.Artifacts[1].Result).To(gomega.Equal("WouldPush"))
	p.Expect(p.registry.Writes()).To(gomega.BeZero())

	// A sealed manifest stays sealed. What it lacks can still be pushed.
	change(p.scene, m, func(o *v1alpha1.ArtifactManifest) { o.Spec.ArtifactManifestState = v1alpha1.ManifestUploaded })
	code, _, errOut = p.publish("am/m", "a:1="+c, "--overwrite")
	p.Expect(code).To(gomega.Equal(1))
	p.Expect(errOut).To(gomega.ContainSubstring("make another manifest"))
	p.Expect(p.at(repository("m", "a"), "1")).To(gomega.Equal(old))
	code, _, errOut = p.publish("am/m", "b:1="+c)
	p.Expect(code).To(gomega.BeZero(), errOut)

	// A manifest that is being deleted or does not exist is refused.
	m.Finalizers = append(m.Finalizers, "example.com/held")
	p.Expect(env.Client.Update(t.Context(), m)).To(gomega.Succeed())
	p.delete(m)
	code, _, errOut = p.publish("am/m", a)
	p.Expect(code).To(gomega.Equal(1))
	p.Expect(errOut).To(gomega.ContainSubstring("is being deleted"))
	change(p.scene, m, func(o *v1alpha1.ArtifactManifest) { o.Finalizers = nil })
	code, _, errOut = p.publish("am/none", a)
	p.Expect(code).To(gomega.Equal(1))
	p.Expect(errOut).To(gomega.And(gomega.ContainSubstring("not found"), gomega.ContainSubstring("; nothing was pushed")))
	code, _, errOut = p.publish("as/acme", a)
	p.Expect(code).To(gomega.Equal(2))
	p.Expect(errOut).To(gomega.ContainSubstring("not a manifest"))
}

// An overwritten digest is kept: the manager has seen it, and records it in a tombstone.
func TestPublishOverwrites(t *testing.T) {
	t.Parallel()
	p := newScene(t).workplace()
	m := p.manifest("m", "a:1", "b:1")
	p.create(p.store("acme"), m)
	old := p.image("m", "a:1", "old").Digest.String()
	fresh := p.build("x/a", "1", "new")
	source := p.elsewhere.Host + "/x/a:1"
	code, _, errOut := p.publish("am/m", source, "--overwrite")
	p.Expect(code).To(gomega.Equal(1))
	p.Expect(errOut).To(gomega.ContainSubstring("the manager has not seen yet what is there"))
	p.Expect(p.at(repository("m", "a"), "1")).To(gomega.Equal(old))

	p.manage()
	p.eventually(m, v1alpha1.ConditionUploaded, "False/Missing")
	code, _, errOut = p.publish("am/m", source)
	p.Expect(code).To(gomega.Equal(1))
	p.Expect(errOut).To(gomega.ContainSubstring("a tombstone keeps what it was at"))
	code, out, errOut := p.publish("am/m", source, "--overwrite")
	p.Expect(code).To(gomega.BeZero(), errOut)
	p.Expect(out).To(gomega.ContainSubstring("overwrote " + old))
	p.Expect(out).To(gomega.ContainSubstring("missing"), "b:1 is")
	p.Expect(p.at(repository("m", "a"), "1")).To(gomega.Equal(fresh.Digest.String()))
	p.Eventually(func() (kept []string) {
		for _, tomb := range p.tombstones() {
			for _, a := range tomb.Spec.Artifacts {
				kept = append(kept, a.Digests...)
			}
		}
		return kept
	}, patience).Should(gomega.ConsistOf(old))
}

func TestPublishGoesOnAfterAnInterruption(t *testing.T) {
	t.Parallel()
	p := newScene(t).workplace()
	p.create(p.store("acme"), p.manifest("m", "a:1", "b:1", "c:1"))
	args := []string{"am/m"}
	for _, name := range []string{"a", "b", "c"} {
		p.build("x/"+name, "1", name)
		args = append(args, p.elsewhere.Host+"/x/"+name+":1")
	}
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	p.registry.Intercept(func(_ http.ResponseWriter, req *http.Request) bool {
		if req.Method != http.MethodPut || !strings.Contains(req.URL.Path, "/m/b/manifests/") {
			return false
		}
		_, _ = io.Copy(io.Discard, req.Body) // the server notices the end of the client only after reading the body
		interrupt()
		<-req.Context().Done()
		return true
	})
	usual := p.command(args...)
	cmd := exec.CommandContext(ctx, usual.Path, usual.Args[1:]...)
	cmd.Env, cmd.Dir = usual.Env, usual.Dir
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	code, out, errOut := p.run(cmd)
	p.registry.Intercept(nil)
	p.Expect(code).To(gomega.Equal(1), out)
	p.Expect(errOut).To(gomega.ContainSubstring("interrupted: 0 of 3 artifacts are done, and 1 pushed but not verified; the same command goes on"))
	p.Expect(out).To(gomega.ContainSubstring("pushed, not verified"))
	p.Expect(column(out, 2)).To(gomega.Equal(map[string]string{"a:1": "pushed,", "b:1": "interrupted", "c:1": "interrupted"}))

	p.registry.Forget()
	code, out, errOut = p.publish(args...)
	p.Expect(code).To(gomega.BeZero(), errOut)
	p.Expect(out).To(gomega.ContainSubstring("there already"))
	p.Expect(p.registry.Count(blobUploads)).To(gomega.Equal(2), "only the blobs of c are sent")
	for _, name := range []string{"a", "b", "c"} {
		pullsWhole(t, p.inside, repository("m", name), "1")
	}
}

func TestPublishTriesAgain(t *testing.T) {
	t.Parallel()
	p := newScene(t).workplace()
	p.create(p.store("acme"), p.manifest("m", "a:1"))
	p.build("x/a", "1", "a")
	var failed atomic.Bool
	p.registry.Intercept(func(w http.ResponseWriter, req *http.Request) bool {
		if !blobUploads(req) || failed.Swap(true) {
			return false
		}
		registrytest.Fail(w, http.StatusServiceUnavailable, "UNAVAILABLE", "one moment")
		return true
	})
	code, out, errOut := p.publish("am/m", p.elsewhere.Host+"/x/a:1")
	p.Expect(code).To(gomega.BeZero(), errOut)
	p.Expect(errOut).To(gomega.ContainSubstring("a:1: trying again: "))
	p.Expect(column(out, 2)).To(gomega.Equal(map[string]string{"a:1": "pushed"}))
}

func TestPublishLogsIn(t *testing.T) {
	t.Parallel()
	p := newGuardedScene(t, registrytest.BasicAuth(user, password), registrytest.TLS()).workplace()
	p.create(p.basicAuth(password), p.store("acme", func(o *v1alpha1.ArtifactStore) {
		o.Spec.Registry.CABundle = p.registry.CA
		o.Spec.Registry.CredentialsSecretRef = &v1alpha1.LocalReference{Name: "push"}
	}), p.manifest("m", "a:1", "b:1"))
	p.build("x/a", "1", "a")
	source := p.elsewhere.Host + "/x/a:1"
	for name, passwords := range map[string]map[string]string{"wrong": {p.registry.Host: mistaken}, "none": nil} {
		p.login(passwords)
		code, out, errOut := p.publish("am/m", source)
		p.Expect(code).To(gomega.Equal(1), name)
		p.Expect(errOut).To(gomega.ContainSubstring("docker login "+p.registry.Host), name)
		for _, secret := range []string{mistaken, authOf(mistaken)} {
			p.Expect(out+errOut).NotTo(gomega.ContainSubstring(secret), name)
		}
	}
	p.Expect(p.contents()).To(gomega.BeEmpty())

	// A user who may not read the Secret gets an error, and nothing is sent.
	reader := p.reader()
	code, _, errOut := p.publish("am/m", source, "--use-store-credentials", "--as", reader)
	p.Expect(code).To(gomega.Equal(1))
	p.Expect(errOut).To(gomega.ContainSubstring("leave out --use-store-credentials"))
	code, out, errOut := p.publish("am/m", source, "--use-store-credentials")
	p.Expect(code).To(gomega.BeZero(), errOut)
	p.Expect(out + errOut).NotTo(gomega.ContainSubstring(password))

	// A source in the store's own registry is read with the store's login, and its blobs need no upload.
	p.login(map[string]string{p.registry.Host: password})
	p.registry.Forget()
	code, _, errOut = p.publish("am/m", "b:1="+p.registry.Host+"/acme/m/a:1", "--as", reader)
	p.Expect(code).To(gomega.BeZero(), errOut)
	p.Expect(p.registry.Count(blobUploads)).To(gomega.BeZero())
	p.Expect(p.at(repository("m", "b"), "1")).To(gomega.Equal(p.at(repository("m", "a"), "1")))
}

func TestPublishStoreScoped(t *testing.T) {
	t.Parallel()
	p := newScene(t).workplace()
	m := p.manifest("m", "charts/upf:1.0.0")
	m.Spec.UploadPath = v1alpha1.StoreScoped
	p.create(p.store("acme"), m)
	p.chart("chart.tgz", "upf", "1.0.0")
	code, out, errOut := p.publish("artifactmanifests/m", "chart.tgz")
	p.Expect(code).To(gomega.BeZero(), errOut)
	p.Expect(p.at("acme/charts/upf", "1.0.0")).To(gomega.Equal(column(out, 1)["charts/upf:1.0.0"]))
}

package integration

import (
	"strings"
	"testing"

	"github.com/onsi/gomega"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

// signed pushes to elsewhere an index of two platforms that has a cosign signature and an SBOM as a referrer.
func (p *workplace) signed(repository string) (image, sbom ocispec.Descriptor, tag string) {
	p.t.Helper()
	image = p.build(repository, "1", "signed", "linux/amd64", "linux/arm64")
	tag = "sha256-" + image.Digest.Encoded() + ".sig"
	p.build(repository, tag, "signature")
	sbom, err := registrytest.PushReferrer(p.t.Context(), p.elsewhere.Host, repository, image, "application/spdx+json", []byte("sbom"))
	if err != nil {
		p.t.Fatal(err)
	}
	return image, sbom, tag
}

func TestPublishTakesSignaturesAlong(t *testing.T) {
	t.Parallel()
	p := newScene(t).workplace()
	p.create(p.store("acme"), p.manifest("m", "a:1"))
	image, sbom, tag := p.signed("x/a")
	source, at := p.elsewhere.Host+"/x/a:1", repository("m", "a")

	code, out, errOut := p.publish("am/m", source, "--without-signatures")
	p.Expect(code).To(gomega.BeZero(), errOut)
	p.Expect(out).NotTo(gomega.ContainSubstring("signature"))
	p.Expect(p.at(at, tag)).To(gomega.BeEmpty())

	p.registry.Forget()
	code, out, errOut = p.publish("am/m", source, "--dry-run")
	p.Expect(code).To(gomega.BeZero(), errOut)
	p.Expect(out).To(gomega.ContainSubstring("there already, would be signed, with 2 signatures and other satellites"))
	p.Expect(p.registry.Writes()).To(gomega.BeZero())

	code, out, errOut = p.publish("am/m", source)
	p.Expect(code).To(gomega.BeZero(), errOut)
	p.Expect(out).To(gomega.ContainSubstring("pushed, with 2 signatures and other satellites"))
	p.Expect(column(out, 1)).To(gomega.HaveKeyWithValue("a:1", image.Digest.String()))
	p.Expect(p.at(at, tag)).NotTo(gomega.BeEmpty())
	p.Expect(pullsWhole(t, p.inside, at, sbom.Digest.String())).To(gomega.Equal(sbom.Digest.String()))
	p.Expect(p.at(at, strings.TrimSuffix(tag, ".sig"))).NotTo(gomega.BeEmpty(), "the list of referrers, where the registry has no API for it")

	p.registry.Forget()
	code, out, errOut = p.publish("am/m", source, "-o", "json")
	p.Expect(code).To(gomega.BeZero(), errOut)
	p.Expect(out).To(gomega.And(gomega.ContainSubstring(`"Present"`), gomega.ContainSubstring(`"satellites": 2`)))
	p.Expect(p.registry.Writes()).To(gomega.BeZero())

	// The image is signed again at its source. cosign uses the same tag.
	old := p.at(at, tag)
	fresh := p.build("x/a", tag, "another signature")
	code, _, errOut = p.publish("am/m", source)
	p.Expect(code).To(gomega.Equal(1))
	p.Expect(errOut).To(gomega.And(gomega.ContainSubstring(tag), gomega.ContainSubstring("--overwrite replaces it")))
	p.Expect(p.at(at, tag)).To(gomega.Equal(old))
	code, _, errOut = p.publish("am/m", source, "--overwrite")
	p.Expect(code).To(gomega.BeZero(), errOut)
	p.Expect(p.at(at, tag)).To(gomega.Equal(fresh.Digest.String()))
}

package access

import (
	"bytes"
	"fmt"
	"io"
	"net/http"

	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/inventory"
)

// maxManifest is the maximum size in bytes of an image manifest that distribution accepts.
const maxManifest = 4 << 20

// checkRepair refuses a push to a sealed manifest, unless it restores a sealed artifact of the repository that is missing,
// for example after damage to the disk. A tag can only be pushed with its sealed digest. Layers, and manifests that are
// pushed by digest, cannot change what a tag means; what nothing references is collected.
func (p *place) checkRepair(m *v1alpha1.ArtifactManifest, w want, r *http.Request) *Refusal {
	on := m.Namespace + "/" + m.Name
	missing := map[string]string{} // sealed digests by tag
	for _, e := range inventory.Entries(m, p.at) {
		if e.Repository == p.repository && e.Digest != "" && e.State == v1alpha1.ArtifactMissing && inventory.Promised(m) {
			missing[e.ArtifactVersion] = e.Digest
		}
	}
	tag := w.tag()
	switch sealed, listed := missing[tag]; {
	case len(missing) == 0:
		return denied("ArtifactManifest %s is sealed (artifactManifestState Uploaded): nothing can be pushed to it any more. Make a new manifest for a new version", on)
	case tag == "":
		return nil
	case !listed:
		return denied("ArtifactManifest %s is sealed (artifactManifestState Uploaded), and %s:%s is not missing: only what was sealed and is missing can be pushed again", on, p.repository, tag)
	default:
		return checkSealedDigest(r, on, p.repository+":"+tag, digest.Digest(sealed))
	}
}

// checkSealedDigest refuses an image manifest whose digest is not the sealed digest.
func checkSealedDigest(r *http.Request, on, name string, sealed digest.Digest) *Refusal {
	b, ok := r.Body.(*body)
	if !ok || sealed.Validate() != nil {
		return denied("ArtifactManifest %s is sealed (artifactManifestState Uploaded): nothing can be pushed to it any more", on)
	}
	got, err := b.digest(sealed.Algorithm())
	switch {
	case err != nil:
		return denied("the image manifest of %s cannot be read: %v", name, err)
	case got != sealed:
		return denied("ArtifactManifest %s is sealed (artifactManifestState Uploaded) with %s at %s, and this is %s. Push what was sealed, or make a new manifest for a new version", on, name, sealed, got)
	}
	return nil
}

// body is a request's body whose digest can be computed before the body is used.
type body struct{ io.ReadCloser }

// digest reads the body, at most maxManifest bytes, and computes its digest. The body can be read again afterwards.
func (b *body) digest(algorithm digest.Algorithm) (digest.Digest, error) {
	data, err := io.ReadAll(io.LimitReader(b.ReadCloser, maxManifest+1))
	if err != nil {
		return "", err
	}
	if len(data) > maxManifest {
		return "", fmt.Errorf("it has more than %d bytes", maxManifest)
	}
	b.ReadCloser = struct {
		io.Reader
		io.Closer
	}{bytes.NewReader(data), b.ReadCloser}
	return algorithm.FromBytes(data), nil
}

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

// maxManifest is the most bytes of an image manifest that distribution takes.
const maxManifest = 4 << 20

// repairs refuses a push to a sealed manifest, unless it brings back what was sealed: an artifact of the repository is
// missing, such as after damage to the disk, and the tag is put at the digest that was sealed. Layers and what is put by
// digest cannot change what a tag means; what belongs to nothing is collected.
func (p *place) repairs(m *v1alpha1.ArtifactManifest, w want, r *http.Request) *Refusal {
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
		return isSealed(r, on, p.repository+":"+tag, digest.Digest(sealed))
	}
}

// isSealed refuses an image manifest of another digest than the sealed one.
func isSealed(r *http.Request, on, name string, sealed digest.Digest) *Refusal {
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

// body is a request's body that can be looked at before it is used.
type body struct{ io.ReadCloser }

// digest reads the body, at most maxManifest bytes. Anyone who reads it afterwards gets all of it.
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

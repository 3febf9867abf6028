package reading

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"

	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/internal/graph"
)

// Key names an image manifest: one digest of one repository.
type Key struct {
	Repository string
	Digest     digest.Digest
}

// Stored is what is known of an image manifest.
type Stored struct {
	// Node is what it refers to.
	Node graph.Node
	// nested are the children that may be indexes themselves.
	nested []digest.Digest
	// Size is that of its bytes.
	Size int64
	// Blobs are its config and its layers.
	Blobs []Blob
}

// parts is how many digests it refers to.
func (s Stored) parts() int { return len(s.Node.Children) + len(s.Blobs) }

// Blob is a config or a layer.
type Blob struct {
	Content ContentID
	Size    int64
}

// ContentID identifies what is stored at a digest in fewer bytes than the digest has. Half a hash is enough, for it
// says only what is counted once: with 2^64 hashes a tenant could find two digests that its own usage counts as one.
type ContentID [sha256.Size / 2]byte

// ContentOf is the first half of the hash in a SHA-256 digest, and of the SHA-256 of any other digest.
func ContentOf(d digest.Digest) ContentID {
	var hash [sha256.Size]byte
	n, err := 0, errors.New("not a SHA-256 digest")
	if d.Validate() == nil && d.Algorithm() == digest.SHA256 {
		n, err = hex.Decode(hash[:], []byte(d.Encoded()))
	}
	if err != nil || n != len(hash) {
		hash = sha256.Sum256([]byte(d))
	}
	return ContentID(hash[:len(ContentID{})])
}

package purge

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"

	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/internal/graph"
)

// target is one digest of one repository.
type target struct {
	repository string
	digest     digest.Digest
}

// stored is what is known of an image manifest.
type stored struct {
	node graph.Node
	// nested are the children that may be indexes themselves.
	nested []digest.Digest
	size   int64
	blobs  []blob
}

// parts is how many digests it refers to.
func (s stored) parts() int { return len(s.node.Children) + len(s.blobs) }

// blob is what the ledger needs of a config or a layer.
type blob struct {
	content contentID
	size    int64
}

// contentID identifies what is stored at a digest in fewer bytes than the digest has. Half a hash is enough, for it
// says only what is counted once: with 2^64 hashes a tenant could find two digests that its own usage counts as one.
type contentID [sha256.Size / 2]byte

// contentOf is the first half of the hash in a SHA-256 digest, and of the SHA-256 of any other digest.
func contentOf(d digest.Digest) contentID {
	var hash [sha256.Size]byte
	n, err := 0, errors.New("not a SHA-256 digest")
	if d.Validate() == nil && d.Algorithm() == digest.SHA256 {
		n, err = hex.Decode(hash[:], []byte(d.Encoded()))
	}
	if err != nil || n != len(hash) {
		hash = sha256.Sum256([]byte(d))
	}
	return contentID(hash[:len(contentID{})])
}

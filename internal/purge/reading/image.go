package reading

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"

	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/internal/graph"
)

// Key identifies an image manifest: one digest in one repository.
type Key struct {
	Repository string
	Digest     digest.Digest
}

// Stored is what the Reader remembers of an image manifest or index.
type Stored struct {
	// Node has the digests that the manifest refers to.
	Node graph.Node
	// nested are the children that may be indexes.
	nested []digest.Digest
	// Size is the size of the manifest itself, in bytes.
	Size int64
	// Blobs are its config and its layers, without those that no registry stores.
	Blobs []Blob
}

// parts returns how many children and blobs the manifest refers to.
func (s Stored) parts() int { return len(s.Node.Children) + len(s.Blobs) }

// Blob is a config or a layer.
type Blob struct {
	Content ContentID
	Size    int64
}

// ContentID identifies content in fewer bytes than its digest has. Half a hash is enough, because a ContentID only ensures
// that content is counted once. With 2^64 hashes a tenant could find two digests that its own usage counts as one.
type ContentID [sha256.Size / 2]byte

// ContentOf returns the first half of the hash in a SHA-256 digest, or of the SHA-256 of any other digest.
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

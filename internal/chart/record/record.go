// Package record decodes the records that Helm keeps of every revision of a release.
//
// Contract: [Decode] decodes the value of data.release of a Secret, as Helm 3 and Helm 4 write it. The package does not
// import Helm, so packages that need only its types do not either. Everybody who may write Secrets can write records:
// decode them only in a confined process. Decode bounds the size of a record, but not the cost of decoding it.
package record

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

const (
	// MaxBytes is the largest record as it is stored, in bytes. A Secret holds at most 1 MiB.
	MaxBytes = 2 << 20
	// maxUnpacked is the largest record after decompression, in bytes.
	maxUnpacked = 32 << 20
)

// Errors of Decode.
var (
	// ErrUnreadable: the bytes are not a release record.
	ErrUnreadable = errors.New("invalid Helm release record")
	// ErrTooLarge: the record, or the number of images in it, exceeds a bound.
	ErrTooLarge = errors.New("the Helm release record is too large")
)

// Release is what is known of one revision of a release.
type Release struct {
	// Name and Status are at most 256 bytes. They are what the record says, and can be empty.
	Name, Status string
	Revision     int
	// Images are the images of the manifest and of all hooks, each once, at most 4096.
	Images []Image
}

// Image is an image that a release references.
type Image struct {
	// Reference is one that container runtimes can parse, at most 1024 bytes.
	Reference string
	// Hook is the first hook that references the image, at most 256 bytes; empty if the manifest references it.
	Hook string
}

// Result is the result of reading one record: a Release, or an error that is about this record alone.
type Result struct {
	Release Release
	Err     error
}

// Record is a decoded record. It has only the fields that can contain images, and those that identify the revision.
type Record struct {
	Name    string `json:"name"`
	Version int    `json:"version"`
	Info    struct {
		Status string `json:"status"`
	} `json:"info"`
	Manifest string `json:"manifest"`
	Hooks    []Hook `json:"hooks"`
}

// Hook is an object that Helm applies at an event, such as a test.
type Hook struct {
	Name     string `json:"name"`
	Manifest string `json:"manifest"`
}

var magic = []byte{0x1f, 0x8b, 0x08} // of gzip

// Decode decodes a record, which is base64 of JSON, usually compressed. Errors wrap ErrUnreadable or ErrTooLarge.
func Decode(data []byte) (r Record, err error) {
	if len(data) > MaxBytes {
		return r, fmt.Errorf("%w: it has %d bytes; the limit is %d", ErrTooLarge, len(data), MaxBytes)
	}
	text, err := base64.StdEncoding.AppendDecode(nil, data)
	if err != nil {
		return r, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	if bytes.HasPrefix(text, magic) {
		if text, err = unpack(text); err != nil {
			return r, err
		}
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return Record{}, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	return r, nil
}

func unpack(packed []byte) ([]byte, error) {
	from, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	text, err := io.ReadAll(io.LimitReader(from, maxUnpacked+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrUnreadable, err)
	case len(text) > maxUnpacked:
		return nil, fmt.Errorf("%w: it has more than %d bytes after decompression", ErrTooLarge, maxUnpacked)
	}
	return text, nil
}

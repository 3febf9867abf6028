package registry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// maxDescriptors bounds each list of a manifest: the children of an index, the layers of an image. An index for
// every platform that exists has some hundred children, and an image has at most some hundred layers.
const maxDescriptors = 10_000

// errTwice: which of the two counts depends on the reader.
var errTwice = fmt.Errorf("%w: it has a field twice", ErrUnreadable)

// eachOf decodes a JSON list one element at a time and gives each to use, so that a list never takes more memory
// than what use keeps of it. It ends with the first error; errors of JSON wrap ErrUnreadable.
func eachOf[T any](data []byte, use func(T) error) error {
	list := json.NewDecoder(bytes.NewReader(data))
	if begin, err := list.Token(); err != nil || begin != json.Delim('[') {
		return fmt.Errorf("%w: there is no list where one must be", ErrUnreadable)
	}
	for list.More() {
		var element T
		if err := list.Decode(&element); err != nil {
			return notJSON(err)
		}
		if err := use(element); err != nil {
			return err
		}
	}
	return nil
}

// notJSON is ErrUnreadable with what encoding/json says, which may repeat a number of any length.
func notJSON(err error) error {
	if errors.Is(err, ErrUnreadable) {
		return err
	}
	return fmt.Errorf("%w: it is not the JSON that it must be: %s", ErrUnreadable, v1alpha1.Clip(err.Error(), maxErrorText))
}

// field notes that a field of a document is there, and whether its value is null.
type field struct{ seen, null bool }

// begin is an error if the field was there before.
func (f *field) begin(data []byte) error {
	if f.seen {
		return errTwice
	}
	f.seen, f.null = true, string(data) == "null"
	return nil
}

// given reports whether the field is there and not null.
func (f *field) given() bool { return f.seen && !f.null }

// descriptor is what is read of a descriptor. Its digest is valid.
type descriptor struct {
	field
	value ocispec.Descriptor
}

// UnmarshalJSON reads the media type, digest and size.
func (d *descriptor) UnmarshalJSON(data []byte) error {
	if err := d.begin(data); err != nil || d.null {
		return err
	}
	var read struct {
		MediaType string        `json:"mediaType"`
		Digest    digest.Digest `json:"digest"`
		Size      int64         `json:"size"`
	}
	if err := json.Unmarshal(data, &read); err != nil {
		return notJSON(err)
	}
	if read.Digest.Validate() != nil {
		return fmt.Errorf("%w: it names the digest %.100q", ErrUnreadable, read.Digest)
	}
	d.value = ocispec.Descriptor{MediaType: read.MediaType, Digest: read.Digest, Size: read.Size}
	return nil
}

// descriptors is a list of them.
type descriptors struct {
	field
	list []ocispec.Descriptor
}

// UnmarshalJSON reads at most maxDescriptors.
func (l *descriptors) UnmarshalJSON(data []byte) error {
	if err := l.begin(data); err != nil || l.null {
		return err
	}
	return eachOf(data, func(d descriptor) error {
		switch {
		case !d.given():
			return fmt.Errorf("%w: it lists nothing where a digest must be", ErrUnreadable)
		case len(l.list) == maxDescriptors:
			return fmt.Errorf("%w: it lists more than %d digests", ErrUnreadable, maxDescriptors)
		}
		l.list = append(l.list, d.value)
		return nil
	})
}

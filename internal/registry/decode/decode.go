package decode

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry/failure"
)

// Bounds of the lists in a registry's answers. A list that exceeds one of them is unreadable, not truncated.
const (
	MaxPages = 10_000
	// MaxEntries bounds the tags, or the image manifests and their tags,
	// of a list. A purge reads no repository with more image manifests.
	MaxEntries = 200_000
	// MaxListBytes bounds the total length of the names in a list.
	MaxListBytes = 8 << 20
)

// MaxDescriptors bounds each list of a manifest: the children of an index, the layers of an image. An index
// for every existing platform has some hundred children, and an image has at most some hundred layers.
const MaxDescriptors = 10_000

// errDuplicateField is an error because it depends on the reader which of the two fields counts.
var errDuplicateField = fmt.Errorf("%w: it has a field twice", failure.ErrUnreadable)

// EachOf decodes a JSON list one element at a time and gives each element to use, so that the list takes
// no more memory than use keeps of it. It ends with the first error. Errors of JSON wrap ErrUnreadable.
func EachOf[T any](data []byte, use func(T) error) error {
	list := json.NewDecoder(bytes.NewReader(data))
	if begin, err := list.Token(); err != nil || begin != json.Delim('[') {
		return fmt.Errorf("%w: no list where one must be", failure.ErrUnreadable)
	}
	for list.More() {
		var element T
		if err := list.Decode(&element); err != nil {
			return NotJSON(err)
		}
		if err := use(element); err != nil {
			return err
		}
	}
	return nil
}

// TooLong returns an ErrUnreadable for a list with that many entries, or with too many bytes.
func TooLong(entries int) error {
	return fmt.Errorf("%w: it has %d entries; nfo reads at most %d, of %d bytes together", failure.ErrUnreadable, entries, MaxEntries, MaxListBytes)
}

// NotJSON returns an ErrUnreadable with the message of encoding/json,
// which is clipped because it may repeat a number of any length.
func NotJSON(err error) error {
	if errors.Is(err, failure.ErrUnreadable) {
		return err
	}
	return fmt.Errorf("%w: it is not the JSON that it must be: %s", failure.ErrUnreadable, v1alpha1.Clip(err.Error(), failure.MaxText))
}

// Field records whether a field of a document is present, and whether its value is null.
type Field struct{ Seen, Null bool }

// Begin records the field. It returns an error if the field occurs twice.
func (f *Field) Begin(data []byte) error {
	if f.Seen {
		return errDuplicateField
	}
	f.Seen, f.Null = true, string(data) == "null"
	return nil
}

// Given reports whether the field is present and not null.
func (f *Field) Given() bool { return f.Seen && !f.Null }

// Once is the value of a field that must not occur twice. encoding/json ignores the case of a
// field's name, so {"digest": 1, "Digest": 2} has the field twice. The value of null is the zero value.
type Once[T any] struct {
	Field
	Value T
}

// UnmarshalJSON reads the value.
func (o *Once[T]) UnmarshalJSON(data []byte) error {
	if err := o.Begin(data); err != nil || o.Null {
		return err
	}
	if plain(data) {
		switch value := any(&o.Value).(type) {
		case *string:
			*value = string(data[1 : len(data)-1])
			return nil
		case *digest.Digest:
			*value = digest.Digest(data[1 : len(data)-1])
			return nil
		}
	}
	return json.Unmarshal(data, &o.Value)
}

// plain reports whether a JSON value is a string whose bytes mean themselves.
// Reading these without encoding/json makes reading a descriptor cheaper.
func plain(data []byte) bool {
	if data[0] != '"' {
		return false
	}
	for _, b := range data[1 : len(data)-1] {
		if b == '\\' || b >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// Descriptor has the fields of a descriptor that are read. Its digest is valid.
type Descriptor struct {
	Field
	Value ocispec.Descriptor
}

// UnmarshalJSON reads the media type, digest and size.
func (d *Descriptor) UnmarshalJSON(data []byte) error {
	if err := d.Begin(data); err != nil || d.Null {
		return err
	}
	var read struct {
		MediaType Once[string]        `json:"mediaType"`
		Digest    Once[digest.Digest] `json:"digest"`
		Size      Once[int64]         `json:"size"`
	}
	if err := json.Unmarshal(data, &read); err != nil {
		return NotJSON(err)
	}
	if read.Digest.Value.Validate() != nil {
		return fmt.Errorf("%w: it names the digest %.100q", failure.ErrUnreadable, read.Digest.Value)
	}
	d.Value = ocispec.Descriptor{MediaType: read.MediaType.Value, Digest: read.Digest.Value, Size: read.Size.Value}
	return nil
}

// Descriptors is a list of descriptors.
type Descriptors struct {
	Field
	List []ocispec.Descriptor
}

// UnmarshalJSON reads at most MaxDescriptors.
func (l *Descriptors) UnmarshalJSON(data []byte) error {
	if err := l.Begin(data); err != nil || l.Null {
		return err
	}
	return EachOf(data, func(d Descriptor) error {
		switch {
		case !d.Given():
			return fmt.Errorf("%w: it lists nothing where a digest must be", failure.ErrUnreadable)
		case len(l.List) == MaxDescriptors:
			return fmt.Errorf("%w: it lists more than %d digests", failure.ErrUnreadable, MaxDescriptors)
		}
		l.List = append(l.List, d.Value)
		return nil
	})
}

package main

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
)

// errDifferent is the error for images that differ; the differences have been printed already.
var errDifferent = errors.New("the images differ")

// traits describes an image: each key is a property that can differ. The
// time of the build and the tool that built the image are not among them.
type traits map[string]string

// compare prints how the image at b differs from the image at a, and fails if it does.
func compare(a, b string, out io.Writer) error {
	left, err := readTraits(a)
	if err != nil {
		return err
	}
	right, err := readTraits(b)
	if err != nil {
		return err
	}
	keys := differences(left, right)
	for _, key := range keys {
		fmt.Fprintf(out, "%s:\n  %s has %s\n  %s has %s\n", key, a, orNone(left[key]), b, orNone(right[key]))
	}
	if len(keys) > 0 {
		return errDifferent
	}
	fmt.Fprintf(out, "%s and %s are the same in all %d traits\n", a, b, len(left))
	return nil
}

// differences returns, sorted, the keys that only one image has or whose values differ.
func differences(a, b traits) []string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	maps.DeleteFunc(all, func(key, _ string) bool { return a[key] == b[key] })
	return slices.Sorted(maps.Keys(all))
}

func orNone(value string) string {
	if value == "" {
		return "none"
	}
	return value
}

// readTraits returns the traits of all platforms of the image at name.
func readTraits(name string) (traits, error) {
	all := traits{}
	err := withIndex(name, func(index v1.ImageIndex) error { return all.index(index) })
	if err != nil {
		return nil, fmt.Errorf("reading the image %s: %w", name, err)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s has no image: build it first", name)
	}
	return all, nil
}

// index adds the images of an index, at any depth.
func (t traits) index(index v1.ImageIndex) error {
	manifest, err := index.IndexManifest()
	if err != nil {
		return err
	}
	for _, entry := range manifest.Manifests {
		if err := t.entry(index, entry); err != nil {
			return err
		}
	}
	return nil
}

// entry adds one entry of an index. An entry that is not an image, such as an attestation, has no traits.
func (t traits) entry(index v1.ImageIndex, entry v1.Descriptor) error {
	switch {
	case entry.MediaType.IsIndex():
		child, err := index.ImageIndex(entry.Digest)
		if err != nil {
			return err
		}
		return t.index(child)
	case entry.MediaType.IsImage():
		image, err := index.Image(entry.Digest)
		if err != nil {
			return err
		}
		return t.image(image)
	}
	return nil
}

// image adds the platform, the configuration and the files of one image.
func (t traits) image(image v1.Image) error {
	file, err := image.ConfigFile()
	if err != nil {
		return err
	}
	platform := file.Platform().String()
	t[platform] = "an image"
	for name, value := range file.Config.Labels {
		t[platform+" label "+name] = fmt.Sprintf("%q", value)
	}
	config := file.Config
	config.Labels = nil
	text, err := json.Marshal(config)
	if err != nil {
		return err
	}
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(text, &fields); err != nil {
		return err
	}
	for name, value := range fields {
		t[platform+" config "+name] = string(value)
	}
	return t.files(platform, image)
}

// files adds the files that a container of the image has.
func (t traits) files(platform string, image v1.Image) error {
	content := mutate.Extract(image)
	defer func() { _ = content.Close() }()
	for r := tar.NewReader(content); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the files of %s: %w", platform, err)
		}
		sum := sha256.New()
		size, err := io.Copy(sum, r)
		if err != nil {
			return fmt.Errorf("reading %s of %s: %w", header.Name, platform, err)
		}
		t[platform+" file "+path.Join("/", header.Name)] = fmt.Sprintf("%v %d:%d link %q, %d bytes, sha256 %x",
			header.FileInfo().Mode(), header.Uid, header.Gid, header.Linkname, size, sum.Sum(nil))
	}
}

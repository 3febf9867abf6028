package images

import (
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// looksLikeImage reports whether a key is one that charts and operators use for images: image,
// sidecarImage, imageName, image_name.
func looksLikeImage(key string) bool {
	key = plainKey(key)
	return strings.HasSuffix(key, "image") || strings.HasSuffix(key, "imagename")
}

// plainKey is a key in small letters, without what separates words.
func plainKey(key string) string {
	return strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(key))
}

// isImage reports whether a key is the image of its table.
func isImage(key string) bool {
	key = plainKey(key)
	return key == "image" || key == "imagename"
}

// listsImages reports whether a key is one under which charts and operators list images: images, sidecarImages,
// imageList.
func listsImages(key string) bool {
	key = plainKey(key)
	return strings.HasSuffix(key, "images") || strings.HasSuffix(key, "imagelist")
}

// wholeReference is a text that can hardly be anything but an image: a path with a tag or digest.
var wholeReference = regexp.MustCompile(`^[A-Za-z0-9][^\s/]*/[^\s]*[^\s/:@](:[A-Za-z0-9_][A-Za-z0-9._-]*|@sha256:[0-9a-f]{64})$`)

// plausible reports whether a text under a key may be a reference. Only a key that is just image
// makes one of a single word. Under images, and under keys such as imageProxy, it must be a whole one.
func plausible(key, text string, images bool) bool {
	switch {
	case isImage(key):
		return true
	case looksLikeImage(key):
		return strings.ContainsAny(text, "/:@")
	case images, strings.HasPrefix(plainKey(key), "image"):
		return wholeReference.MatchString(text)
	}
	return false
}

// imageTable is an image whose parts stand in a table.
type imageTable struct {
	registry, namespace, repository, tag, digest string
	// word: the repository is the name of something, which may be no image.
	word bool
}

// imageOfTable reads the usual forms of an image as a table: {registry, repository, tag, digest}. Tables with an
// image in one of their fields are read by besides.
func imageOfTable(key string, table map[string]any) imageTable {
	if scalar(table, "image", "imageName") != "" {
		return imageTable{}
	}
	t := imageTable{
		registry:   scalar(table, "registry", "imageRegistry"),
		namespace:  scalar(table, "imageNamespace"),
		repository: scalar(table, "repository"),
		tag:        scalar(table, "tag", "imageTag"),
		digest:     scalar(table, "digest", "imageDigest", "sha", "sha256"),
	}
	named := looksLikeImage(key)
	if t.repository == "" && named {
		t.repository = scalar(table, "name")
		t.word = !strings.ContainsAny(t.repository, "/:@")
	}
	if !named && t == (imageTable{repository: t.repository}) && table["pullPolicy"] == nil {
		return imageTable{} // the repository of something else
	}
	if named && t.tag == "" {
		t.tag = scalar(table, "version")
	}
	return t.ordered()
}

// besides is an image in one text, under a key of a table. Its registry, its path, tag and digest may stand beside
// it: {repository: quay.io/acme, image: driver, version: "1"}.
func besides(key string, table map[string]any, images bool) imageTable {
	image, _ := table[key].(string)
	if image == "" || !plausible(key, image, images) {
		return imageTable{}
	}
	t := imageTable{
		registry:   scalar(table, "imageRegistry", "registry"),
		repository: image,
		tag:        scalar(table, key+"Tag", key+"Version"),
		digest:     scalar(table, key+"Digest"),
	}
	if !isImage(key) {
		return t.ordered()
	}
	path := scalar(table, "repository", "imageRepository")
	if path != "" && path != image && !namesHost(image) {
		t.repository = strings.TrimSuffix(path, "/") + "/" + image
	}
	t.namespace = scalar(table, "imageNamespace")
	t.tag = cmp.Or(scalar(table, "imageTag", "tag"), t.tag)
	t.digest = cmp.Or(scalar(table, "imageDigest", "digest", "sha", "sha256"), t.digest)
	if t.tag == "" && path+t.registry != "" {
		t.tag = scalar(table, "version")
	}
	return t.ordered()
}

// ordered is the table with a digest that stands for a tag in its place.
func (t imageTable) ordered() imageTable {
	if strings.HasPrefix(t.tag, "sha256:") {
		t.tag, t.digest = "", cmp.Or(t.digest, t.tag)
	}
	return t
}

// hostAlone is a registry's host, with its port: no image has such a name.
var hostAlone = regexp.MustCompile(`^([^/:@]*\.[^/:@]*|localhost):[0-9]+$`)

// String is the reference, "" without a repository.
func (t imageTable) String() string {
	s := t.repository
	if s == "" || s == Registry || hostAlone.MatchString(s) {
		return ""
	}
	if t.namespace != "" && !strings.Contains(s, "/") {
		s = strings.Trim(t.namespace, "/") + "/" + s
	}
	if t.registry != "" {
		s = strings.TrimSuffix(t.registry, "/") + "/" + s
	}
	last := s[strings.LastIndex(s, "/")+1:]
	if t.tag != "" && !strings.ContainsAny(last, ":@") {
		s += ":" + t.tag
	}
	if t.digest != "" && !strings.Contains(s, "@") {
		if !strings.Contains(t.digest, ":") {
			s += "@sha256:" + t.digest
		} else {
			s += "@" + t.digest
		}
	}
	return s
}

// scalar is the first of a table's fields that has a text or a number. Numbers are as people write them: a template
// that prints a large one otherwise, such as 2.0240101e+07, names no image.
func scalar(table map[string]any, keys ...string) string {
	for _, key := range keys {
		switch v := table[key].(type) {
		case string:
			if v != "" {
				return v
			}
		case float64:
			return strconv.FormatFloat(v, 'f', -1, 64)
		case json.Number, int, int64, uint64:
			return fmt.Sprint(v)
		}
	}
	return ""
}

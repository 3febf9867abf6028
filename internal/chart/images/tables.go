package images

import (
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// looksLikeImage reports whether charts and operators use a key
// for an image: image, sidecarImage, imageName, image_name.
func looksLikeImage(key string) bool {
	key = plainKey(key)
	return strings.HasSuffix(key, "image") || strings.HasSuffix(key, "imagename")
}

// plainKey returns a key in lower case, without separators of words.
func plainKey(key string) string {
	return strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(key))
}

// isImage reports whether a key stands for the image of its table.
func isImage(key string) bool {
	key = plainKey(key)
	return key == "image" || key == "imagename"
}

// listsImages reports whether charts and operators use a key for a list of images: images, sidecarImages, imageList.
func listsImages(key string) bool {
	key = plainKey(key)
	return strings.HasSuffix(key, "images") || strings.HasSuffix(key, "imagelist")
}

// wholeReference matches a text that is almost certainly an image: a path with a tag or digest.
var wholeReference = regexp.MustCompile(`^[A-Za-z0-9][^\s/]*/[^\s]*[^\s/:@](:[A-Za-z0-9_][A-Za-z0-9._-]*|@sha256:[0-9a-f]{64})$`)

// plausible reports whether the text of a key may be a reference. Only under the key image or imageName may it be a
// single word. Under images, and under keys such as imageProxy, it must be a whole reference.
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

// imageTable is an image whose parts are fields of a table.
type imageTable struct {
	registry, namespace, repository, tag, digest string
	// word is true if the repository is only the name of the table, which may not be an image.
	word bool
}

// imageOfTable reads the common forms of an image in a table: {registry, repository, tag, digest}. It ignores tables
// with an image in one of their fields, which besides reads.
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
		return imageTable{} // the table may be about another kind of repository
	}
	if named && t.tag == "" {
		t.tag = scalar(table, "version")
	}
	return t.ordered()
}

// besides reads an image from the text of a key in a table. The registry, path, tag and digest may be in fields beside
// the key: {repository: quay.io/acme, image: driver, version: "1"}.
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

// ordered moves a digest in the field for the tag to the field for the digest.
func (t imageTable) ordered() imageTable {
	if strings.HasPrefix(t.tag, "sha256:") {
		t.tag, t.digest = "", cmp.Or(t.digest, t.tag)
	}
	return t
}

// hostAlone matches a registry's host with a port. No image has such a name.
var hostAlone = regexp.MustCompile(`^([^/:@]*\.[^/:@]*|localhost):[0-9]+$`)

// String returns the reference, "" if there is no repository.
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

// scalar returns the first of the fields with a text or a number. Numbers are formatted as people write them. If a
// template prints a large number in another form, such as 2.0240101e+07, the result is not a valid image tag.
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

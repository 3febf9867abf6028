package chart

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// looksLikeImage reports whether a key is one that charts and operators use for images: image,
// sidecarImage, imageName.
func looksLikeImage(key string) bool {
	key = strings.ToLower(key)
	return strings.HasSuffix(key, "image") || key == "imagename"
}

// plausible reports whether the text of such a key may be a reference: only a key that is just image
// makes one of a single word.
func plausible(key, text string) bool {
	return strings.EqualFold(key, "image") || strings.ContainsAny(text, "/:@")
}

// imageTable is an image whose parts stand in a table.
type imageTable struct{ registry, repository, tag, digest string }

// imageOfTable reads the usual forms of an image as a table: {registry, repository, tag, digest}.
func imageOfTable(key string, table map[string]any) imageTable {
	t := imageTable{
		registry:   text(table, "registry", "imageRegistry"),
		repository: text(table, "repository"),
		tag:        text(table, "tag", "imageTag"),
		digest:     text(table, "digest", "sha"),
	}
	named := looksLikeImage(key)
	if t.repository == "" && named {
		t.repository = text(table, "name")
	}
	if !named && t == (imageTable{repository: t.repository}) && table["pullPolicy"] == nil {
		return imageTable{} // the repository of something else
	}
	if named && t.tag == "" {
		t.tag = text(table, "version")
	}
	return t
}

// String is the reference, "" without a repository.
func (t imageTable) String() string {
	s := t.repository
	if s == "" {
		return ""
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

// text is the first of a table's fields that has a text, as a template prints it.
func text(table map[string]any, keys ...string) string {
	for _, key := range keys {
		switch v := table[key].(type) {
		case string:
			if v != "" {
				return v
			}
		case float64, int64, int:
			return fmt.Sprint(v)
		}
	}
	return ""
}

// valuesWalk finds the images in values.
type valuesWalk struct {
	// global is the registry that the chart's globals put before every image, "" for none.
	global string
	// fallback is the registry of images that name none.
	fallback string
	found    []imageFinding
}

// findValueImages finds what in a chart's values looks like an image. registry is the one that is
// set at registryValuesPaths, "" for none: images that name none follow it.
func findValueImages(values map[string]any, registry string) []imageFinding {
	globals, _ := values["global"].(map[string]any)
	w := &valuesWalk{
		global:   text(globals, "imageRegistry", "registry"),
		fallback: cmp.Or(text(values, "imageRegistry"), registry),
	}
	w.walk("", values, nil)
	return w.found
}

func (w *valuesWalk) walk(key string, value any, at []string) {
	switch v := value.(type) {
	case map[string]any:
		if t := imageOfTable(key, v); t.repository != "" {
			w.add(t, at)
		}
		for _, k := range slices.Sorted(maps.Keys(v)) {
			if t := besides(k, v); t.repository != "" && plausible(k, t.String()) {
				w.add(t, append(at, k))
			}
			w.walk(k, v[k], append(at, k))
		}
	case []any:
		for i, member := range v {
			w.walk("", member, append(at, strconv.Itoa(i)))
		}
	}
}

// besides is an image in one text, under a key of a table. Its tag and registry may stand beside it.
func besides(key string, table map[string]any) imageTable {
	image, _ := table[key].(string)
	if image == "" || !looksLikeImage(key) {
		return imageTable{}
	}
	return imageTable{
		registry:   text(table, "imageRegistry", "registry"),
		repository: image,
		tag:        text(table, "imageTag", "tag"),
		digest:     text(table, "imageDigest", "digest"),
	}
}

func (w *valuesWalk) add(t imageTable, at []string) {
	switch {
	case namesHost(t.repository):
		t.registry = ""
	default:
		t.registry = cmp.Or(w.global, t.registry, w.fallback)
	}
	if s := t.String(); s != "" {
		w.found = append(w.found, imageFinding{s, true, Source{Values: clip(strings.Join(at, "."), maxChartString)}})
	}
}

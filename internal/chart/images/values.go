package images

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// valuesWalk finds the images in values.
type valuesWalk struct {
	// global is the registry that the chart's global values put before every image, "" if there is none.
	global string
	// fallback has the parts for images that leave them out.
	fallback imageTable
	found    []Finding
}

// FindInValues finds fields in a chart's values that look like an image. registry is the one that is set at
// registryValuesPaths, "" if there is none; images without a host follow it.
func FindInValues(values map[string]any, registry string) []Finding {
	globals, _ := values["global"].(map[string]any)
	w := &valuesWalk{
		global: scalar(globals, "imageRegistry", "registry"),
		fallback: imageTable{
			registry:  cmp.Or(scalar(values, "imageRegistry", "defaultImageRegistry", "registry"), scalar(globals, "hub"), registry),
			namespace: scalar(values, "imageNamespace", "defaultImageRepository"),
			tag:       cmp.Or(scalar(values, "defaultImageTag"), scalar(globals, "tag")),
		},
	}
	if t := imageOfTable("", values); t.repository != "" {
		w.add(t, []string{"."})
	}
	w.walk(values, nil, false)
	return w.found
}

// walk visits a table or list. images is true below a key that lists images.
func (w *valuesWalk) walk(value any, at []string, images bool) {
	switch v := value.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			w.member(v, key, append(at, key), images)
		}
	case []any:
		for i, member := range v {
			at := append(at, strconv.Itoa(i))
			switch v := member.(type) {
			case map[string]any:
				w.add(imageOfTable("", v), at)
			case string:
				if images && wholeReference.MatchString(v) {
					w.add(imageTable{repository: v}, at)
				}
			}
			w.walk(member, at, images)
		}
	}
}

func (w *valuesWalk) member(parent map[string]any, key string, at []string, images bool) {
	switch v := parent[key].(type) {
	case string:
		w.add(besides(key, parent, images), at)
	case map[string]any:
		w.add(imageOfTable(key, v), at)
	}
	w.walk(parent[key], at, images || listsImages(key))
}

func (w *valuesWalk) add(t imageTable, at []string) {
	if t == (imageTable{repository: t.repository, word: true}) && w.fallback.namespace+w.fallback.tag == "" {
		return
	}
	if !strings.ContainsAny(t.repository, "/:@") {
		t.namespace = cmp.Or(t.namespace, w.fallback.namespace)
		if t.digest == "" {
			t.tag = cmp.Or(t.tag, w.fallback.tag)
		}
	}
	switch {
	case namesHost(t.repository):
		t.registry = ""
	default:
		t.registry = cmp.Or(w.global, t.registry, w.fallback.registry)
	}
	if s := t.String(); s != "" {
		w.found = append(w.found, Finding{s, true, Source{Values: Clip(Readable(strings.Join(at, ".")), MaxName)}})
	}
}

package chart

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"
)

// maxRenderedBytes bounds what a chart renders, all files together.
const maxRenderedBytes = 16 << 20

// documentStart is where Helm cuts a rendered file.
var documentStart = regexp.MustCompile(`(?:^|\s*\n)---\s*`)

// imageFinding is a reference at a place.
type imageFinding struct {
	reference string
	// guessed is true where an image is what it looks like, not what Kubernetes takes it for.
	guessed bool
	source  Source
}

// findImages finds the images in rendered files. What cannot be read does not stop the rest.
func findImages(rendered map[string]string) (found []imageFinding, problems []error) {
	total := 0
	for _, text := range rendered {
		total += len(text)
	}
	if total > maxRenderedBytes {
		return nil, []error{fmt.Errorf("%w: it renders %d bytes, at most %d are read", ErrTooLarge, total, maxRenderedBytes)}
	}
	for _, file := range slices.Sorted(maps.Keys(rendered)) {
		if path.Base(file) == "NOTES.txt" {
			continue
		}
		for i, document := range documentStart.Split(rendered[file], -1) {
			var object map[string]any
			if err := yaml.Unmarshal([]byte(document), &object); err != nil {
				problems = append(problems, fmt.Errorf("%w: document %d of %s is no object: %w", ErrRender, i+1, file, err))
				continue
			}
			w := objectWalk{found: &found}
			w.source.Template = clip(file, maxChartString)
			w.object(object)
		}
	}
	return found, problems
}

// objectWalk finds the images of one object. It looks for what a pod has, wherever it is: every kind
// that makes pods has it, known or not. In kinds that are not Kubernetes' own it also takes
// fields that look like an image, for their operators make pods of these.
type objectWalk struct {
	found  *[]imageFinding
	source Source
	custom bool
}

func (w objectWalk) object(o map[string]any) {
	kind, _ := o["kind"].(string)
	if items, ok := o["items"].([]any); ok && strings.HasSuffix(kind, "List") {
		for _, item := range items {
			if o, ok := item.(map[string]any); ok {
				w.object(o)
			}
		}
		return
	}
	version, _ := o["apiVersion"].(string)
	group, err := schema.ParseGroupVersion(version)
	w.custom = err == nil && !scheme.Scheme.IsGroupRegistered(group.Group)
	metadata, _ := o["metadata"].(map[string]any)
	name, _ := metadata["name"].(string)
	annotations, _ := metadata["annotations"].(map[string]any)
	hook, _ := annotations["helm.sh/hook"].(string)
	w.source.Kind, w.source.Name, w.source.Hook = clip(kind, maxChartString), clip(name, maxChartString), clip(hook, maxChartString)
	w.walk(o, nil, "")
}

// walk goes through a value. in is the name of the list that the value is a member of.
func (w objectWalk) walk(value any, at []string, in string) {
	switch v := value.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			w.field(v, key, append(at, key), in)
			w.walk(v[key], append(at, key), "")
		}
	case []any:
		for i, member := range v {
			w.walk(member, append(at, memberName(member, i)), at[len(at)-1])
		}
	}
}

func memberName(member any, i int) string {
	table, _ := member.(map[string]any)
	if name, ok := table["name"].(string); ok {
		return name
	}
	return strconv.Itoa(i)
}

// field takes the image that a field is.
func (w objectWalk) field(parent map[string]any, key string, at []string, in string) {
	switch v := parent[key].(type) {
	case string:
		switch {
		case key != "image":
		case in == "containers", in == "initContainers", in == "ephemeralContainers":
			w.add(v, at, false)
			return
		}
		if w.custom && looksLikeImage(key) && plausible(key, v) {
			w.add(v, at, true)
		}
	case map[string]any:
		if volume, ok := v["reference"].(string); ok && key == "image" && in == "volumes" {
			w.add(volume, append(at, "reference"), false)
		} else if w.custom {
			w.add(imageOfTable(key, v).String(), at, true)
		}
	}
}

func (w objectWalk) add(reference string, at []string, guessed bool) {
	if reference == "" {
		return
	}
	w.source.Field = clip(strings.Join(at, "."), maxChartString)
	*w.found = append(*w.found, imageFinding{reference, guessed, w.source})
}

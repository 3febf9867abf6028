package images

import (
	"encoding/base64"
	"encoding/json"
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

	"github.com/nfo-operator/nfo/internal/chart/render"
)

// maxEmbedded is how deep YAML is read in texts in YAML.
const maxEmbedded = 3

// documentStart is where Helm cuts a rendered file.
var documentStart = regexp.MustCompile(`(?:^|\s*\n)---\s*`)

// Finding is a reference at a place.
type Finding struct {
	reference string
	// guessed is true where an image is what it looks like, not what Kubernetes takes it for.
	guessed bool
	source  Source
}

// FileProblem is an error of one file.
type FileProblem struct {
	File string
	Err  error
}

// Find finds the images in rendered files. What cannot be read does not stop the rest.
func Find(out render.Rendering) (found []Finding, problems []FileProblem) {
	for _, file := range slices.Sorted(maps.Keys(out.Files)) {
		for i, document := range documentStart.Split(out.Files[file], -1) {
			w := objectWalk{found: &found, depth: maxEmbedded}
			w.source.Template = Clip(Readable(file), MaxName)
			object, err := decodeObject(document)
			if err != nil {
				problems = append(problems, FileProblem{file, fmt.Errorf("%w: document %d of %s is not an object: %w", render.ErrFailed, i+1, file, err)})
				w.text(document, nil)
				continue
			}
			w.object(object)
		}
	}
	return found, problems
}

// decodeObject decodes a document. Numbers stay as they are written.
func decodeObject(document string) (object map[string]any, err error) {
	return object, yaml.Unmarshal([]byte(document), &object, keepNumbers)
}

func keepNumbers(d *json.Decoder) *json.Decoder {
	d.UseNumber()
	return d
}

// IsManifest reports whether a file of templates/ is for the API server. Helm takes all but notes for it, and then
// refuses the chart; such a file hides no image.
func IsManifest(file string) bool {
	switch path.Ext(file) {
	case ".txt", ".md":
		return false
	}
	return true
}

var (
	// kindOfObject is where an object of a template says its kind, and what else has one: an indented object, an item of a
	// List, and a reference.
	kindOfObject = regexp.MustCompile(`\bkind["']?\s*:`)
	// testOnly is the annotation of an object that is a test and nothing else.
	testOnly = regexp.MustCompile(`(?m)helm\.sh/hook["']?\s*:\s*(?:"test(?:-success|-failure)?"|'test(?:-success|-failure)?'|test(?:-success|-failure)?\s*(?:[}#]|$))`)
	// silentAction is an action of a template that writes nothing itself, with the space that is trimmed after it.
	silentAction = regexp.MustCompile(`\{\{-?\s*(?:/\*(?s:.*?)\*/|(?:(?:if|else|end|range|with|define|break|continue|fail)\b|\$\w*\s*:?=)(?s:.*?))\s*(?:-\}\}\s*|\}\}[ \t]*)`)
	// lineAction is an action that writes at the start of a line.
	lineAction = regexp.MustCompile(`(?m)^\{\{(?s:.*?)\}\}`)
	// indented is the end of an action whose text is part of the object around it.
	indented = regexp.MustCompile(`\bn?indent\s+[1-9]`)
)

// OnlyTests reports whether a template, which cannot be rendered, certainly has nothing but tests: each of its objects
// says so, and no action may write an object of its own. It is false when in doubt.
func OnlyTests(source string) bool {
	tests := len(testOnly.FindAllString(source, -1))
	return tests > 0 && tests >= len(kindOfObject.FindAllString(source, -1)) && !writesObjects(source)
}

// writesObjects reports whether an action of a template may write an object: it is in a document without a kind, or at
// the start of a line and not indented.
func writesObjects(source string) bool {
	for _, document := range documentStart.Split(silentAction.ReplaceAllString(source, ""), -1) {
		if !kindOfObject.MatchString(document) && strings.Contains(document, "{{") {
			return true
		}
		for _, action := range lineAction.FindAllString(document, -1) {
			if !indented.MatchString(action) {
				return true
			}
		}
	}
	return false
}

// isTest reports whether an object with that annotation helm.sh/hook is applied by `helm test` only.
func isTest(hook string) bool {
	if hook == "" {
		return false
	}
	for _, event := range strings.Split(hook, ",") {
		switch strings.TrimSpace(event) {
		case "test", "test-success", "test-failure":
		default:
			return false
		}
	}
	return true
}

// objectWalk finds the images of one object. It looks for what a pod has, wherever it is: every kind
// that makes pods has it, known or not. In kinds that are not Kubernetes' own it also takes
// fields that look like an image, for their operators make pods of these. In any text it takes what names the registry.
type objectWalk struct {
	found  *[]Finding
	source Source
	custom bool
	// depth is how often YAML may still be read in a text.
	depth int
	// encoded is true where texts are in base64.
	encoded bool
	// texts is true if a text is searched for images of any registry.
	texts bool
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
	w.source.Kind, w.source.Name, w.source.Hook = Clip(kind, MaxName), Clip(Readable(name), MaxName), Clip(hook, MaxName)
	for _, key := range slices.Sorted(maps.Keys(o)) {
		w.encoded = key == "data" && kind == "Secret" || key == "binaryData"
		w.member(o, key, []string{key}, "", false)
	}
}

// walk goes through a value. in is the name of the list that the value is a member of; images is true below a key
// that lists images.
func (w objectWalk) walk(value any, at []string, in string, images bool) {
	switch v := value.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			w.member(v, key, append(at, key), in, images)
		}
	case []any:
		for i, member := range v {
			at := append(at, memberName(member, i))
			if text, ok := member.(string); ok {
				w.text(text, at)
				if w.custom && images && wholeReference.MatchString(text) {
					w.add(text, at, true)
				}
			}
			w.walk(member, at, at[len(at)-2], images)
		}
	}
}

func (w objectWalk) member(parent map[string]any, key string, at []string, in string, images bool) {
	w.text(key, at)
	taken := w.field(parent, key, at, in, images)
	if text, ok := parent[key].(string); ok && !taken {
		w.text(text, at)
	}
	w.walk(parent[key], at, "", images || listsImages(key))
}

func memberName(member any, i int) string {
	table, _ := member.(map[string]any)
	if name, ok := table["name"].(string); ok {
		return name
	}
	return strconv.Itoa(i)
}

// field takes the image that a field is. taken is true if its text is all of a reference, or its end.
func (w objectWalk) field(parent map[string]any, key string, at []string, in string, images bool) (taken bool) {
	switch v := parent[key].(type) {
	case string:
		if key == "image" && (in == "containers" || in == "initContainers" || in == "ephemeralContainers") {
			return w.add(v, at, false)
		}
		reference := ""
		if w.custom {
			reference = besides(key, parent, images).String()
		}
		if _, err := ParseImage(reference); err == nil { // else it can be a text with more in it
			return w.add(reference, at, true)
		}
	case map[string]any:
		if volume, ok := v["reference"].(string); ok && key == "image" && in == "volumes" {
			w.add(volume, append(at, "reference"), false)
		} else if w.custom {
			w.add(imageOfTable(key, v).String(), at, true)
		}
	}
	return false
}

func (w objectWalk) add(reference string, at []string, guessed bool) (added bool) {
	if reference == "" {
		return false
	}
	w.source.Field = Clip(Readable(strings.Join(at, ".")), MaxName)
	*w.found = append(*w.found, Finding{reference, guessed, w.source})
	return true
}

// text takes the images of the registry in a text, or in the YAML or JSON that it is.
func (w objectWalk) text(text string, at []string) {
	if w.encoded {
		if decoded, err := base64.StdEncoding.DecodeString(text); err == nil {
			text = string(decoded)
		}
	}
	if w.texts {
		w.anyRegistry(text, at)
	}
	if !strings.Contains(text, Registry) {
		return
	}
	w.source.Text = true
	for _, image := range InText(text) {
		w.add(image, at, true)
	}
	if w.depth == 0 || !strings.ContainsAny(text, "\n{") {
		return
	}
	for _, document := range documentStart.Split(text, -1) {
		var embedded any
		if yaml.Unmarshal([]byte(document), &embedded, keepNumbers) == nil {
			w.embedded(embedded, at)
		}
	}
}

// embedded takes the images of the registry that stand in tables of a text: {registry, repository, tag}.
func (w objectWalk) embedded(value any, at []string) {
	w.depth--
	inner := objectWalk{found: &[]Finding{}, source: w.source, custom: true, depth: w.depth}
	inner.walk(value, []string{""}, "", false)
	for _, f := range *inner.found {
		if strings.HasPrefix(f.reference, Registry) {
			w.add(f.reference, at, true)
		}
	}
}

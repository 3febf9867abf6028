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

// maxEmbedded is the maximum depth at which YAML in the texts of YAML is read.
const maxEmbedded = 3

// documentStart matches where Helm splits a rendered file into documents.
var documentStart = regexp.MustCompile(`(?:^|\s*\n)---\s*`)

// Finding is a reference and its place.
type Finding struct {
	reference string
	// guessed is true if the field only looks like an image, and is not one by the API of Kubernetes.
	guessed bool
	source  Source
}

// FileProblem is an error about one file.
type FileProblem struct {
	File string
	Err  error
}

// Find finds the images in rendered files. A document that cannot be read does not stop it.
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

// decodeObject decodes a document. Numbers keep the digits as they are written.
func decodeObject(document string) (object map[string]any, err error) {
	return object, yaml.Unmarshal([]byte(document), &object, keepNumbers)
}

func keepNumbers(d *json.Decoder) *json.Decoder {
	d.UseNumber()
	return d
}

// IsManifest reports whether a file of templates/ is meant for the API server. Helm applies all files except notes, and
// so refuses a chart with other files; these hide no images.
func IsManifest(file string) bool {
	switch path.Ext(file) {
	case ".txt", ".md":
		return false
	}
	return true
}

var (
	// kindOfObject matches the kind field of an object in a template. It also matches those of an indented object, of an
	// item of a List, and of a reference to an object.
	kindOfObject = regexp.MustCompile(`\bkind["']?\s*:`)
	// testOnly matches the annotation of an object that is a test and nothing else.
	testOnly = regexp.MustCompile(`(?m)helm\.sh/hook["']?\s*:\s*(?:"test(?:-success|-failure)?"|'test(?:-success|-failure)?'|test(?:-success|-failure)?\s*(?:[}#]|$))`)
	// silentAction matches an action of a template that writes nothing itself, with the space that is trimmed after it.
	silentAction = regexp.MustCompile(`\{\{-?\s*(?:/\*(?s:.*?)\*/|(?:(?:if|else|end|range|with|define|break|continue|fail)\b|\$\w*\s*:?=)(?s:.*?))\s*(?:-\}\}\s*|\}\}[ \t]*)`)
	// lineAction matches an action that writes at the start of a line.
	lineAction = regexp.MustCompile(`(?m)^\{\{(?s:.*?)\}\}`)
	// indented matches an action that indents its text, which is therefore part of the object around it.
	indented = regexp.MustCompile(`\bn?indent\s+[1-9]`)
)

// OnlyTests reports whether a template that cannot be rendered certainly has only tests: each of its objects has the
// annotation of a test, and no action may write another object. If in doubt, it returns false.
func OnlyTests(source string) bool {
	tests := len(testOnly.FindAllString(source, -1))
	return tests > 0 && tests >= len(kindOfObject.FindAllString(source, -1)) && !writesObjects(source)
}

// writesObjects reports whether an action of a template may write an object: the action is in a document without a
// kind, or at the start of a line and not indented.
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

// isTest reports whether an object with this value of the annotation helm.sh/hook is applied only by `helm test`.
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

// objectWalk finds the images of one object. It looks for the fields of pods anywhere in the object, because every kind
// that creates pods has these fields, known or not. In kinds outside of Kubernetes it also takes fields that look like
// an image, because operators create pods from them. In any text it takes references that begin with Registry.
type objectWalk struct {
	found  *[]Finding
	source Source
	custom bool
	// depth is the number of levels of YAML in texts that may still be read.
	depth int
	// encoded is true if texts are in base64.
	encoded bool
	// texts is true if texts are searched for images of any registry.
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

// walk visits a value. in is the name of the list that contains
// the value; images is true below a key that lists images.
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

// field adds the image in a field. taken is true if the text of the field is the whole reference, or its end.
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
		if _, err := ParseImage(reference); err == nil { // otherwise it can be a text that contains a reference
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

// text adds the images of Registry in a text, and in the YAML or JSON that the text may be.
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

// embedded adds the images of Registry in tables of a text: {registry, repository, tag}.
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

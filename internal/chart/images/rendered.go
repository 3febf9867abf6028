package images

import (
	"fmt"
	"regexp"
	"strings"
)

// InManifest returns the images that the objects of a rendered manifest reference, each once, in the order of the
// manifest. It finds the images of pods anywhere, fields of custom resources that look like an image, and references
// with a host and a tag or digest in any text, such as an argument. It leaves out invalid references and those longer
// than MaxReference bytes. An error says which document cannot be decoded; that document may reference more images.
func InManifest(manifest string) (references []string, err error) {
	var found []Finding
	for i, document := range documentStart.Split(manifest, -1) {
		object, err := decodeObject(document)
		if err != nil {
			return nil, fmt.Errorf("document %d cannot be decoded: %w", i+1, err)
		}
		objectWalk{found: &found, depth: maxEmbedded, texts: true}.object(object)
	}
	seen := map[string]bool{}
	for _, f := range found {
		if seen[f.reference] || len(f.reference) > MaxReference {
			continue
		}
		seen[f.reference] = true
		if _, err := ParseImage(f.reference); err == nil {
			references = append(references, f.reference)
		}
	}
	return references, nil
}

var (
	// betweenReferences matches what separates a reference from the rest of a text. JSON
	// inside JSON escapes its quotes and newlines, with more backslashes at each level. The
	// letter of an escape belongs to the separator and not to the name that follows.
	betweenReferences = regexp.MustCompile("(?:[\\s\"'`,;=<>(){}\\[\\]|]|\\\\+(?:u[0-9A-Fa-f]{4}|[" + escapes + "])?)+")
	// escapedSlash matches a slash as some programs write it in JSON.
	escapedSlash = regexp.MustCompile(`\\+/`)
)

// anyRegistry adds what looks like an image of any registry: a whole reference that begins with a host.
func (w objectWalk) anyRegistry(text string, at []string) {
	if !strings.Contains(text, "/") {
		return
	}
	for _, word := range betweenReferences.Split(escapedSlash.ReplaceAllString(text, "/"), -1) {
		if _, after, ok := strings.Cut(word, "://"); ok {
			word = after
		}
		word = strings.TrimRight(word, ".:")
		if namesHost(word) && wholeReference.MatchString(word) {
			w.add(word, at, true)
		}
	}
}

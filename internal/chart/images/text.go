package images

import (
	"regexp"
	"strings"
)

// Registry is the registry with which charts are rendered at their registryValuesPaths. The
// reference of an image whose origin is OriginOurs begins with it. It exists nowhere else,
// so whatever references it in the rendered text is stored in the store.
const Registry = "registry.nfo.invalid"

// Readable replaces Registry in a message, because users did not write it.
func Readable(text string) string { return strings.ReplaceAll(text, Registry, "<registry>") }

const repositoryPattern = `[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*`

// imageInText matches what follows the registry in a text with an image reference. Some charts add a port.
var imageInText = regexp.MustCompile(`^(?::[0-9]+)?(/?)(` + repositoryPattern + `)(?::([A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?(?:@(sha256:[0-9a-f]{64}))?`)

// escapes are the letters that form an escape sequence with a backslash before them, such as those for newline and tab.
const escapes = "bfnrt"

// InText returns the images of the store in a text, such as an argument, a variable, a file or an annotation.
func InText(text string) []string {
	var found []string
	for at := 0; ; {
		i := strings.Index(text[at:], Registry)
		if i < 0 || len(found) > MaxSources {
			return found
		}
		before := text[:at+i]
		at += i + len(Registry)
		if !beginsReference(before) {
			continue
		}
		if image := imageAt(text[at:]); image != "" {
			found = append(found, image)
		}
	}
}

// beginsReference reports whether a reference can begin after a text. It cannot
// begin in the middle of a name or a path, nor as the host of a website.
func beginsReference(before string) bool {
	if before == "" {
		return true
	}
	switch last := before[len(before)-1]; {
	case strings.HasSuffix(before[:len(before)-1], `\`) && strings.IndexByte(escapes, last) >= 0:
		return true // an escaped newline or the like, which the program that gets the text decodes
	case last == '/':
		return strings.HasSuffix(before, "://") && !strings.HasSuffix(before, "http://") && !strings.HasSuffix(before, "https://")
	case last == '@', continues(last):
		return false
	}
	return true
}

// continues reports whether a byte can continue a name.
func continues(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || strings.IndexByte("._-", b) >= 0
}

// imageAt returns the image reference at the beginning of a text that follows the registry. It returns "" if there is
// none, or if only the beginning of its name is in the text.
func imageAt(text string) string {
	m := imageInText.FindStringSubmatch(text)
	if m == nil {
		return ""
	}
	slash, repository, tag, digest := m[1], m[2], strings.TrimRight(m[3], ".-"), m[4]
	rest := text[len(m[0]):]
	open := rest != "" && (strings.IndexByte("$%{<*/", rest[0]) >= 0 || continues(rest[0]) && rest[0] != '.')
	switch {
	case slash == "" && tag == "" && digest == "":
		return "" // another name, which has the registry's as its beginning
	case tag == "" && digest == "" && open:
		return ""
	case digest == "" && open:
		tag = "" // a program writes its end at run time
	}
	image := Registry + "/" + repository
	if tag != "" {
		image += ":" + tag
	}
	if digest != "" {
		image += "@" + digest
	}
	return image
}

// joinedAt splits a reference that begins with the registry and has no slash after it, or has a port: the chart expects
// the slash or the port in the value that it gets. ok is false for any other reference.
func joinedAt(reference string) (rest string, ok bool) {
	rest, ok = strings.CutPrefix(reference, Registry)
	if !ok || strings.HasPrefix(rest, "/") {
		return "", false
	}
	if port := portPattern.FindString(rest); port != "" {
		return rest[len(port):], true
	}
	return rest, true
}

var portPattern = regexp.MustCompile(`^:[0-9]+/`)

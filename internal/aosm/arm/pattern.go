package arm

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// pattern is what AOSM allows as the name of a resource.
type pattern struct {
	allows *regexp.Regexp
	says   string
}

// maxName is how long AOSM's names are at most, in bytes.
const maxName = 64

// The patterns of AOSM's specification. It allows a manifest every name without white space; the brackets and
// quotes of a placeholder are left out here.
var (
	plainName = pattern{regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_-]*$`), "AOSM allows letters, digits, _ and -, and a letter or digit first"}
	semantic  = pattern{regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(\.(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*)?(\+[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?$`),
		"AOSM allows semantic versions such as 1.0.0"}
	unspaced = pattern{regexp.MustCompile(`^[^\s{}\[\]<>"'\\%&?*#|]+$`), "AOSM allows no white space, and no text with brackets or quotes is a name"}
)

// patterns are those of the types whose resources become objects.
var patterns = map[string]pattern{
	TypePublisher: plainName, TypeStore: plainName, TypeManifest: unspaced, TypeDefinitionGroup: plainName, TypeDefinition: semantic,
	TypeDesignGroup: plainName, TypeDesign: semantic, TypeSite: plainName, TypeSchema: unspaced,
}

// Placeholders are the texts that AOSM, or who writes templates, fills in at deployment: {configurationparameters('Core').version},
// {deployParameters.version}, ${version}, [parameters('version')].
var Placeholders = regexp.MustCompile(`[{}]|\[[a-zA-Z]+\(|(?i:configurationparameters\()`)

// ErrFilledIn is the reason for what contains a placeholder.
var ErrFilledIn = errors.New("a part of it is a placeholder, which is filled in at deployment")

// checkNames returns an error if a name in an id is not one that AOSM allows.
func (id ID) checkNames() error {
	t := ID{Provider: id.Provider}
	for i, name := range id.Names {
		t.Types = id.Types[:i+1]
		p, known := patterns[t.Type()]
		switch {
		case Placeholders.MatchString(name):
			return ErrFilledIn
		case !known:
		case len(name) > maxName:
			return fmt.Errorf("%q is not a name of %s: AOSM allows at most %d characters", Clip(name), id.Types[i], maxName)
		case !p.allows.MatchString(name):
			return fmt.Errorf("%q is not a name of %s: %s", Clip(name), id.Types[i], p.says)
		}
	}
	for _, part := range []string{id.Subscription, id.Group} {
		if Placeholders.MatchString(part) || strings.ContainsAny(part, `[]'"\`) {
			return ErrFilledIn
		}
	}
	return nil
}

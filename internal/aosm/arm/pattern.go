package arm

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// pattern is AOSM's rule for the name of a resource.
type pattern struct {
	allows *regexp.Regexp
	says   string
}

// maxName is the maximum length of AOSM's names, in bytes.
const maxName = 64

// The patterns are those of AOSM's specification, but for manifests: AOSM allows every
// name without white space, and unspaced excludes the brackets and quotes of placeholders.
var (
	plainName = pattern{regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_-]*$`), "AOSM allows letters, digits, _ and -, and a letter or digit first"}
	semantic  = pattern{regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(\.(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*)?(\+[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?$`),
		"AOSM allows semantic versions such as 1.0.0"}
	unspaced = pattern{regexp.MustCompile(`^[^\s{}\[\]<>"'\\%&?*#|]+$`), "AOSM allows no white space, and no text with brackets or quotes is a name"}
)

// patterns are the rules by resource type.
var patterns = map[string]pattern{
	TypePublisher: plainName, TypeStore: plainName, TypeManifest: unspaced, TypeDefinitionGroup: plainName, TypeDefinition: semantic,
	TypeDesignGroup: plainName, TypeDesign: semantic, TypeSite: plainName, TypeSchema: unspaced,
}

// Placeholders matches texts that AOSM or a template's author fills in at deployment:
// {configurationparameters('Core').version}, {deployParameters.version}, ${version}, [parameters('version')].
var Placeholders = regexp.MustCompile(`[{}]|\[[a-zA-Z]+\(|(?i:configurationparameters\()`)

// ErrFilledIn is the error for a text with a placeholder.
var ErrFilledIn = errors.New("a part of it is a placeholder, which is filled in at deployment")

// checkNames returns an error if AOSM does not allow a name in the id.
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

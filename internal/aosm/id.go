package aosm

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// The resource types that are known, folded.
const (
	typePublisher        = "microsoft.hybridnetwork/publishers"
	typeStore            = typePublisher + "/artifactstores"
	typeManifest         = typeStore + "/artifactmanifests"
	typeDefinitionGroup  = typePublisher + "/networkfunctiondefinitiongroups"
	typeDefinition       = typeDefinitionGroup + "/networkfunctiondefinitionversions"
	typeDesignGroup      = typePublisher + "/networkservicedesigngroups"
	typeDesign           = typeDesignGroup + "/networkservicedesignversions"
	typeSchema           = typePublisher + "/configurationgroupschemas"
	typeSite             = "microsoft.hybridnetwork/sitenetworkservices"
	typeRegistry         = "microsoft.containerregistry/registries"
	typeDeployment       = "microsoft.resources/deployments"
	typePrefix           = "microsoft.hybridnetwork/"
	maxSegment           = 128 // AOSM's names have at most 64 characters, those of resource groups 90
	singularArtifactType = "artifactstore"
)

// resourceID is a parsed ARM resource id.
type resourceID struct {
	// subscription and group are the scope, "" where the id does not say, as in a template that
	// means its own.
	subscription, group string
	// provider is Microsoft.HybridNetwork or another; types and names are in pairs, as written.
	provider     string
	types, names []string
}

// parseID reads a whole resource id: [/subscriptions/S][/resourceGroups/G]/providers/P/type/name...
// What it names is compared whole and in any case.
func parseID(s string) (resourceID, error) {
	id, segments, err := splitID(s)
	if err != nil {
		return id, err
	}
	id = id.relative()
	if slices.Contains(segments, "") {
		return id, fmt.Errorf("%q is not a resource id: a part of it is empty", clip(s))
	}
	for _, part := range append(segments, id.subscription, id.group) {
		if err := checkPart(part); err != nil {
			return id, fmt.Errorf("%q is not a resource id: %w", clip(s), err)
		}
	}
	if err := id.checkNames(); err != nil {
		return id, fmt.Errorf("%q is not a resource id: %w", clip(s), err)
	}
	return id, nil
}

// splitID reads the parts of an id, whatever these are, and returns those after the scope, too.
func splitID(s string) (id resourceID, segments []string, err error) {
	rest, ok := strings.CutPrefix(s, "/")
	if !ok {
		return id, nil, fmt.Errorf("%q is not a resource id: it does not begin with /", clip(s))
	}
	segments = strings.Split(rest, "/")
	for len(segments) >= 2 && fold(segments[0]) != "providers" {
		switch fold(segments[0]) {
		case "subscriptions":
			id.subscription = segments[1]
		case "resourcegroups":
			id.group = segments[1]
		default:
			return id, nil, fmt.Errorf("%q is not a resource id: %q is neither subscriptions, resourceGroups nor providers", clip(s), clip(segments[0]))
		}
		segments = segments[2:]
	}
	if len(segments) < 4 || len(segments)%2 != 0 {
		return id, nil, fmt.Errorf("%q is not a resource id: it does not end in /providers/<provider>/<type>/<name>", clip(s))
	}
	id.provider = segments[1]
	for i := 2; i < len(segments); i += 2 {
		id.types = append(id.types, segments[i])
		id.names = append(id.names, segments[i+1])
	}
	return id, segments, nil
}

// checkPart says why a text cannot be a part of an id or of a name.
func checkPart(part string) error {
	switch {
	case undecidable(part):
		return errUnknownPart
	case len(part) > maxSegment:
		return fmt.Errorf("a part of it has more than %d bytes", maxSegment)
	case !printable(part):
		return errors.New("a part of it has characters that cannot be printed")
	}
	return nil
}

// printable reports whether a text has neither control characters nor others that no name has.
func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// relative drops of the scope what only a deployment knows.
func (id resourceID) relative() resourceID {
	if undecidable(id.subscription) {
		id.subscription = ""
	}
	if undecidable(id.group) {
		id.group = ""
	}
	return id
}

// typ is the whole type, folded. Azure's own example of a design spells artifactStores in the
// singular, which means nothing else.
func (id resourceID) typ() string {
	t := fold(id.provider)
	for _, part := range id.types {
		if part = fold(part); part == singularArtifactType {
			part += "s"
		}
		t += "/" + part
	}
	return t
}

// name is the last name.
func (id resourceID) name() string { return id.names[len(id.names)-1] }

// publisher is the first name: of what lies below a publisher, the publisher's.
func (id resourceID) publisher() string { return id.names[0] }

// key is the same for ids of the same resource. A publisher's name stands for its scope.
func (id resourceID) key() string {
	key := id.typ() + "\n" + fold(strings.Join(id.names, "\n"))
	if !strings.HasPrefix(id.typ(), typePublisher) {
		key += "\n" + fold(id.subscription) + "\n" + fold(id.group)
	}
	return key
}

// parent is the id of what the resource is in.
func (id resourceID) parent() resourceID {
	last := len(id.names) - 1
	id.types, id.names = id.types[:last:last], id.names[:last:last]
	return id
}

// child is the id of something in the resource.
func (id resourceID) child(types, names []string) resourceID {
	id.types = append(id.types[:len(id.types):len(id.types)], types...)
	id.names = append(id.names[:len(id.names):len(id.names)], names...)
	return id
}

// String writes the id as far as it is known.
func (id resourceID) String() string {
	var b strings.Builder
	if id.subscription != "" {
		b.WriteString("/subscriptions/" + id.subscription)
	}
	if id.group != "" {
		b.WriteString("/resourceGroups/" + id.group)
	}
	b.WriteString("/providers/" + id.provider)
	for i := range id.types {
		b.WriteString("/" + id.types[i] + "/" + id.names[i])
	}
	return b.String()
}

// maxQuoted is how much of a text of the input a message quotes, in bytes.
const maxQuoted = 200

// clip returns a text of the input as messages quote it, in at most maxQuoted bytes.
func clip(s string) string { return v1alpha1.Clip(show(s), maxQuoted) }

// fold makes names comparable as ARM compares them: in any case.
func fold(s string) string { return strings.ToLower(s) }

// differ reports whether two parts of a scope are known, and are not the same.
func differ(a, b string) bool { return a != "" && b != "" && fold(a) != fold(b) }

// identify makes the id of a resource from its type and name, each with or without what it is in.
func identify(parent resourceID, typ, name string) (resourceID, error) {
	types, names := strings.Split(typ, "/"), strings.Split(name, "/")
	for _, part := range slices.Concat(types, names) {
		if part == "" {
			return resourceID{}, errors.New("a part of its type or name is empty")
		}
		if err := checkPart(part); err != nil {
			return resourceID{}, fmt.Errorf("its type or name: %w", err)
		}
	}
	id := parent
	if strings.Contains(types[0], ".") { // a provider: the type is whole, and the name may be
		if len(types)-1 == len(parent.names)+len(names) {
			names = slices.Concat(parent.names, names)
		}
		id = resourceID{subscription: parent.subscription, group: parent.group, provider: types[0]}
		types = types[1:]
	}
	if id.provider == "" || len(types) == 0 || len(types) != len(names) {
		return resourceID{}, errors.New("its name has not as many parts as its type")
	}
	id = id.child(types, names)
	if err := id.checkNames(); err != nil {
		return resourceID{}, fmt.Errorf("its name: %w", err)
	}
	return id, nil
}

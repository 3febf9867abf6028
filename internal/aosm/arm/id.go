package arm

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// The known resource types, folded.
const (
	TypePublisher        = "microsoft.hybridnetwork/publishers"
	TypeStore            = TypePublisher + "/artifactstores"
	TypeManifest         = TypeStore + "/artifactmanifests"
	TypeDefinitionGroup  = TypePublisher + "/networkfunctiondefinitiongroups"
	TypeDefinition       = TypeDefinitionGroup + "/networkfunctiondefinitionversions"
	TypeDesignGroup      = TypePublisher + "/networkservicedesigngroups"
	TypeDesign           = TypeDesignGroup + "/networkservicedesignversions"
	TypeSchema           = TypePublisher + "/configurationgroupschemas"
	TypeSite             = "microsoft.hybridnetwork/sitenetworkservices"
	TypeRegistry         = "microsoft.containerregistry/registries"
	TypeDeployment       = "microsoft.resources/deployments"
	TypePrefix           = "microsoft.hybridnetwork/"
	maxSegment           = 128 // AOSM's names have at most 64 characters, those of resource groups 90
	singularArtifactType = "artifactstore"
)

// ID is a parsed ARM resource id.
type ID struct {
	// Subscription and Group are the scope; "" if the id does not contain them, as in a template that means its own scope.
	Subscription, Group string
	// Provider is Microsoft.HybridNetwork or another one. Types and Names are in pairs, as written.
	Provider     string
	Types, Names []string
}

// ParseID parses a whole resource id: [/subscriptions/S][/resourceGroups/G]/providers/P/type/name...
// It drops the parts of the scope that only a deployment knows.
func ParseID(s string) (ID, error) {
	id, segments, err := SplitID(s)
	if err != nil {
		return id, err
	}
	id = id.Relative()
	if slices.Contains(segments, "") {
		return id, fmt.Errorf("%q is not a resource id: a part of it is empty", Clip(s))
	}
	for _, part := range append(segments, id.Subscription, id.Group) {
		if err := checkPart(part); err != nil {
			return id, fmt.Errorf("%q is not a resource id: %w", Clip(s), err)
		}
	}
	if err := id.checkNames(); err != nil {
		return id, fmt.Errorf("%q is not a resource id: %w", Clip(s), err)
	}
	return id, nil
}

// SplitID splits an id without checking its parts, and also returns the segments after the scope.
func SplitID(s string) (id ID, segments []string, err error) {
	rest, ok := strings.CutPrefix(s, "/")
	if !ok {
		return id, nil, fmt.Errorf("%q is not a resource id: it does not begin with /", Clip(s))
	}
	segments = strings.Split(rest, "/")
	for len(segments) >= 2 && Fold(segments[0]) != "providers" {
		switch Fold(segments[0]) {
		case "subscriptions":
			id.Subscription = segments[1]
		case "resourcegroups":
			id.Group = segments[1]
		default:
			return id, nil, fmt.Errorf("%q is not a resource id: %q is neither subscriptions, resourceGroups nor providers", Clip(s), Clip(segments[0]))
		}
		segments = segments[2:]
	}
	if len(segments) < 4 || len(segments)%2 != 0 {
		return id, nil, fmt.Errorf("%q is not a resource id: it does not end in /providers/<provider>/<type>/<name>", Clip(s))
	}
	id.Provider = segments[1]
	for i := 2; i < len(segments); i += 2 {
		id.Types = append(id.Types, segments[i])
		id.Names = append(id.Names, segments[i+1])
	}
	return id, segments, nil
}

// checkPart returns an error if a text cannot be a part of an id or of a name.
func checkPart(part string) error {
	switch {
	case Undecidable(part):
		return ErrUnknownPart
	case len(part) > maxSegment:
		return fmt.Errorf("a part of it has more than %d bytes", maxSegment)
	case !Printable(part):
		return errors.New("a part of it has characters that cannot be printed")
	}
	return nil
}

// Printable reports whether all characters of a text are printable.
func Printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// Relative returns the id without the parts of the scope that only a deployment knows.
func (id ID) Relative() ID {
	if Undecidable(id.Subscription) {
		id.Subscription = ""
	}
	if Undecidable(id.Group) {
		id.Group = ""
	}
	return id
}

// Type returns the whole type, folded. Azure's own example of a
// design has artifactStores in the singular, which Type corrects.
func (id ID) Type() string {
	t := Fold(id.Provider)
	for _, part := range id.Types {
		if part = Fold(part); part == singularArtifactType {
			part += "s"
		}
		t += "/" + part
	}
	return t
}

// Name returns the last name.
func (id ID) Name() string { return id.Names[len(id.Names)-1] }

// Publisher returns the first name, which is the publisher's for a resource of a publisher.
func (id ID) Publisher() string { return id.Names[0] }

// Key returns the same text for ids of the same resource. For a resource of a
// publisher it does not contain the scope: a publisher is identified by its name.
func (id ID) Key() string {
	key := id.Type() + "\n" + Fold(strings.Join(id.Names, "\n"))
	if !strings.HasPrefix(id.Type(), TypePublisher) {
		key += "\n" + Fold(id.Subscription) + "\n" + Fold(id.Group)
	}
	return key
}

// Parent returns the id of the enclosing resource.
func (id ID) Parent() ID {
	last := len(id.Names) - 1
	id.Types, id.Names = id.Types[:last:last], id.Names[:last:last]
	return id
}

// child returns the id of a resource within the resource.
func (id ID) child(types, names []string) ID {
	id.Types = append(id.Types[:len(id.Types):len(id.Types)], types...)
	id.Names = append(id.Names[:len(id.Names):len(id.Names)], names...)
	return id
}

// String returns the id as text, without the parts of the scope that are unknown.
func (id ID) String() string {
	var b strings.Builder
	if id.Subscription != "" {
		b.WriteString("/subscriptions/" + id.Subscription)
	}
	if id.Group != "" {
		b.WriteString("/resourceGroups/" + id.Group)
	}
	b.WriteString("/providers/" + id.Provider)
	for i := range id.Types {
		b.WriteString("/" + id.Types[i] + "/" + id.Names[i])
	}
	return b.String()
}

// maxQuoted is the most that a message quotes from a text of the input, in bytes.
const maxQuoted = 200

// Clip returns a text of the input as messages quote it, in at most maxQuoted bytes.
// It reads only the beginning of a long text, because the text may be quoted often.
func Clip(s string) string {
	return v1alpha1.Clip(Show(s[:min(len(s), utf8.UTFMax*(maxQuoted+1))]), maxQuoted) // a shown character has at least one byte
}

// Fold returns a name in the form in which ARM compares names, which ignores case.
func Fold(s string) string { return strings.ToLower(s) }

// Differ reports whether two parts of a scope are both known and differ.
func Differ(a, b string) bool { return a != "" && b != "" && Fold(a) != Fold(b) }

// Identify returns the id of a resource from its type and name, each complete or relative to the parent.
func Identify(parent ID, typ, name string) (ID, error) {
	types, names := strings.Split(typ, "/"), strings.Split(name, "/")
	for _, part := range slices.Concat(types, names) {
		if part == "" {
			return ID{}, errors.New("a part of its type or name is empty")
		}
		if err := checkPart(part); err != nil {
			return ID{}, fmt.Errorf("its type or name: %w", err)
		}
	}
	id := parent
	if strings.Contains(types[0], ".") { // a provider: the type is complete, and the name may be
		if len(types)-1 == len(parent.Names)+len(names) {
			names = slices.Concat(parent.Names, names)
		}
		id = ID{Subscription: parent.Subscription, Group: parent.Group, Provider: types[0]}
		types = types[1:]
	}
	if id.Provider == "" || len(types) == 0 || len(types) != len(names) {
		return ID{}, errors.New("its name has not as many parts as its type")
	}
	id = id.child(types, names)
	if err := id.checkNames(); err != nil {
		return ID{}, fmt.Errorf("its name: %w", err)
	}
	return id, nil
}

// Fuller returns the id that has more of the scope. If both have the same parts, it returns the id that
// sorts first, so that the order does not matter. If each has a part that the other lacks, it joins them.
func Fuller(a, b string) string {
	x, errX := ParseID(a)
	y, errY := ParseID(b)
	switch {
	case errX != nil || b == "":
		return cmp.Or(b, a)
	case errY != nil:
		return a
	}
	covers := func(x, y ID) bool {
		return (x.Subscription != "" || y.Subscription == "") && (x.Group != "" || y.Group == "")
	}
	switch {
	case covers(x, y) && covers(y, x):
		return min(a, b)
	case covers(x, y):
		return a
	case covers(y, x):
		return b
	}
	x.Subscription, x.Group = cmp.Or(x.Subscription, y.Subscription), cmp.Or(x.Group, y.Group)
	return x.String()
}

package platform

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Most is the maximum number of platforms in a List.
const Most = 16

// form matches a platform. The operating systems and architectures are those of Kubernetes nodes.
var form = regexp.MustCompile(`^(linux|windows)/(386|amd64|arm|arm64|loong64|mips64le|ppc64le|riscv64|s390x)(/v[0-9]{1,2})?$`)

// Platform is an operating system, an architecture and, for some architectures,
// a variant, in the terms of Go and the OCI image specification.
type Platform struct{ OS, Architecture, Variant string }

// String returns the platform as os/architecture or os/architecture/variant.
func (p Platform) String() string {
	s := p.OS + "/" + p.Architecture
	if p.Variant != "" {
		s += "/" + p.Variant
	}
	return s
}

// List is a list of platforms; an empty list means all. It can be the value of a flag.
type List []Platform

// Parse parses platforms such as linux/amd64 and linux/arm64/v8. Its error says which one is invalid.
func Parse(names []string) (List, error) {
	var l List
	for _, name := range names {
		if !form.MatchString(name) {
			return nil, fmt.Errorf("%.50q is not a platform: write linux or windows, a slash, one of 386, amd64, arm, arm64, loong64, mips64le, ppc64le, riscv64 and s390x, and optionally a variant, such as linux/amd64 or linux/arm64/v8", name)
		}
		parts := append(strings.SplitN(name, "/", 3), "")
		if p := (Platform{parts[0], parts[1], parts[2]}); !slices.Contains(l, p) {
			l = append(l, p)
		}
	}
	if len(l) > Most {
		return nil, fmt.Errorf("there are %d platforms, and at most %d can be listed: leave the list empty for all", len(l), Most)
	}
	return l, nil
}

// String returns the platforms separated by commas, or "" for all.
func (l List) String() string {
	names := make([]string, len(l))
	for i, p := range l {
		names[i] = p.String()
	}
	return strings.Join(names, ",")
}

// Set replaces the list by one separated by commas; "" means all. Set, Type and String make *List the value of a flag.
func (l *List) Set(text string) (err error) {
	var names []string
	if text != "" {
		names = strings.Split(text, ",")
	}
	*l, err = Parse(names)
	return err
}

// Type returns the name of the value's type in help texts.
func (*List) Type() string { return "platforms" }

// matches reports whether a platform is listed. A listed platform without a variant matches all variants.
// An image without a variant matches each listed one, because registries often omit the variant.
func (l List) matches(p Platform) bool {
	return slices.ContainsFunc(l, func(one Platform) bool {
		return one.OS == p.OS && one.Architecture == p.Architecture && (one.Variant == "" || p.Variant == "" || one.Variant == p.Variant)
	})
}

package platform

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Most is the largest number of platforms in a List.
const Most = 16

// form is what a platform looks like. The operating systems and architectures are those of Kubernetes nodes.
var form = regexp.MustCompile(`^(linux|windows)/(386|amd64|arm|arm64|loong64|mips64le|ppc64le|riscv64|s390x)(/v[0-9]{1,2})?$`)

// Platform is an operating system, an architecture and, for some, a variant, as Go and the OCI image-spec call them.
type Platform struct{ OS, Architecture, Variant string }

// String is the platform as os/architecture or os/architecture/variant.
func (p Platform) String() string {
	s := p.OS + "/" + p.Architecture
	if p.Variant != "" {
		s += "/" + p.Variant
	}
	return s
}

// List is a list of platforms; empty for all. It is the value of a flag.
type List []Platform

// Parse reads platforms such as linux/amd64 and linux/arm64/v8. Its error says which one is invalid.
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

// String is the platforms with commas; "" for all.
func (l List) String() string {
	names := make([]string, len(l))
	for i, p := range l {
		names[i] = p.String()
	}
	return strings.Join(names, ",")
}

// Set takes a list with commas in place of what was there; "" for all. With Type and String it makes *List the value of a flag.
func (l *List) Set(text string) (err error) {
	var names []string
	if text != "" {
		names = strings.Split(text, ",")
	}
	*l, err = Parse(names)
	return err
}

// Type is what help texts call the value.
func (*List) Type() string { return "platforms" }

// matches reports whether a platform is listed. A listed platform without a variant stands for all variants, and an image
// without one is of each: registries often leave it out.
func (l List) matches(p Platform) bool {
	return slices.ContainsFunc(l, func(one Platform) bool {
		return one.OS == p.OS && one.Architecture == p.Architecture && (one.Variant == "" || p.Variant == "" || one.Variant == p.Variant)
	})
}

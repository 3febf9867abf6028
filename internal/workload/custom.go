package workload

import (
	"cmp"
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"strings"

	"github.com/opencontainers/go-digest"
	kjson "sigs.k8s.io/json"

	"github.com/nfo-operator/nfo/internal/livelist"
)

// custom is an object of a CustomResourceDefinition. Its parts are decoded separately.
type custom struct {
	Metadata  metadata        `json:"metadata"`
	Spec      json.RawMessage `json:"spec"`
	Status    json.RawMessage `json:"status"`
	Operation json.RawMessage `json:"operation"`
}

// custom reads one object. It decodes the spec, status and operation, if
// they exist, into the values of into. Errors of these name the object.
func (c *collector) custom(one livelist.Decoder, kind string, into ...any) (by owned, err error) {
	var o custom
	if err := one.Decode(&o); err != nil {
		return owned{}, fmt.Errorf("reading a %s: %w", kind, err)
	}
	by = (&object{Metadata: o.Metadata}).owned(kind)
	for i, part := range []json.RawMessage{o.Spec, o.Status, o.Operation}[:len(into)] {
		if len(part) == 0 {
			continue
		}
		if err := kjson.UnmarshalCaseSensitivePreserveInts(part, into[i]); err != nil {
			short, _, _ := strings.Cut(kind, ".")
			return owned{}, &objectError{fmt.Errorf("cannot decode %s of %s %s/%s: %w. Correct or delete this object", []string{"spec", "status", "operation"}[i], short, o.Metadata.Namespace, o.Metadata.Name, err)}
		}
	}
	return by, nil
}

// text is a string that can also be decoded from a number, with the digits as they are written. Objects of old
// definitions were not validated, and YAML reads versions such as 1.0 as numbers.
type text string

// UnmarshalJSON decodes a string or a number; null becomes the empty string.
func (t *text) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && strings.IndexByte("-0123456789", data[0]) >= 0 {
		*t = text(data)
		return nil
	}
	var s string
	err := json.Unmarshal(data, &s)
	*t = text(s)
	return err
}

// at adds the uses of a chart in a repository at a version, which may be
// a tag, a digest, or both as TAG@DIGEST. An empty version adds nothing.
func (c *collector) at(uses map[Use]bool, repository, version, suffix string) {
	tag, d := splitVersion(version)
	part := "chart " + called(path.Base(repository), cmp.Or(tag, d)) + suffix
	if d != "" {
		c.image(uses, repository+"@"+d, part, true)
	}
	for _, t := range tagsOf(tag) {
		c.image(uses, repository+":"+t, part, true)
	}
}

// chartAnywhere adds the uses of a chart whose repository is not known. If the name is empty, the use is of any
// artifact with the digest or, without a digest, with the tag.
func chartAnywhere(uses map[Use]bool, name, version, ociDigest, suffix string) {
	if name != "" {
		name = path.Base(name)
	}
	if !isDigest(ociDigest) {
		ociDigest = ""
	}
	u := Use{Part: partOf("chart " + called(name, version) + suffix), Chart: name, Whole: true}
	if ociDigest != "" {
		u.Digest = ociDigest
		uses[u] = true
		u.Digest = ""
	}
	if name == "" && ociDigest != "" {
		return
	}
	for _, u.Tag = range tagsOf(version) {
		uses[u] = true
	}
}

// called returns the name of a chart and version for messages.
func called(name, version string) string {
	switch {
	case isDigest(version):
		return name + "@" + version
	case name == "" || version == "":
		return name + version
	}
	return name + ":" + version
}

// tagPattern matches valid tags. Version ranges do not match.
var tagPattern = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)

// tagsOf returns the tags that a chart of a version may have. A tag has _ in place of +. The part after the + may have
// been added after the chart was pulled: Flux appends a part of the digest, or the number of a generation.
func tagsOf(version string) (tags []string) {
	core, _, added := strings.Cut(version, "+")
	for _, tag := range []string{strings.ReplaceAll(version, "+", "_"), core} {
		if tagPattern.MatchString(tag) {
			tags = append(tags, tag)
		}
		if !added {
			break
		}
	}
	return tags
}

// splitVersion splits TAG@DIGEST. Old versions of Flux write TAG/HEX and HEX.
func splitVersion(version string) (tag, ociDigest string) {
	at := max(strings.LastIndex(version, "@"), strings.LastIndex(version, "/"))
	tag, end := version[:max(at, 0)], version[at+1:]
	for _, d := range []string{end, "sha256:" + end} {
		if isDigest(d) {
			return tag, d
		}
	}
	return version, ""
}

func isDigest(s string) bool { return digest.Digest(s).Validate() == nil }

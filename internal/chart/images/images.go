package images

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// ErrImage means that the chart has an image reference that no container runtime accepts.
var ErrImage = errors.New("the chart names an unreadable image")

// Origin says where the host of an image comes from.
type Origin string

// Origins of an image.
const (
	// OriginOurs: the image follows registryValuesPaths, so it is pulled from the store's registry.
	OriginOurs Origin = "Ours"
	// OriginForeign: the image does not follow them, so it is always pulled from the host in its reference.
	OriginForeign Origin = "Foreign"
)

// Why says why an image is needed, or why it is not.
type Why string

// Only deployed images are needed; all others are optional.
const (
	WhyDeployed   Why = "Deployed"   // a template references it when the chart is deployed by default
	WhyTest       Why = "Test"       // only objects that `helm test` applies reference it
	WhyDependency Why = "Dependency" // templates reference it only with a dependency that is disabled
	WhyValues     Why = "Values"     // only the values reference it
)

// rank returns the priority of a reason; 0 is the highest.
func (w Why) rank() int {
	return slices.Index([]Why{WhyDeployed, WhyTest, WhyDependency, WhyValues}, w)
}

// Image is an image that a chart references.
type Image struct {
	// Reference is the reference as found. Host, Repository, Tag and Digest are its parts, normalised as container
	// runtimes do: nginx is docker.io, library/nginx, latest. All are empty for a reference that cannot be parsed. Tag is
	// also empty if there is a digest and no tag. In values, in texts and in fields of custom resources, a reference
	// without a tag may mean any tag; Tag is then empty too.
	Reference, Host, Repository, Tag, Digest string
	Origin                                   Origin
	// Why is the reason with the highest priority of all sources.
	Why Why
	// Sources are the places that reference the image, those with the highest priority first; at least one.
	Sources []Source
}

// Optional reports whether the chart is deployed by default without the image.
func (i Image) Optional() bool { return i.Why != WhyDeployed }

// Source is a place in a chart that references an image: a template, or the values.
type Source struct {
	// Template is the file, such as app/charts/db/templates/pod.yaml. Kind and Name are those of the object. Field is the
	// path in the object, with list members by their names: spec.template.spec.containers.web.image.
	Template, Kind, Name, Field string
	// Text is true if the field is a text that contains more than the reference: an argument, a file.
	Text bool
	// Hook is the object's annotation helm.sh/hook, such as pre-install or test; "" if the object is not a hook.
	Hook string
	// Values is the path in the values, such as db.image, or . for the whole values. The other fields are empty then.
	Values string
	Why    Why
}

// String returns the place for messages, in at most 256 bytes.
func (s Source) String() string {
	if s.Values != "" {
		return Clip("values "+s.Values, MaxPlace)
	}
	text := fmt.Sprintf("%s %s/%s %s", s.Template, s.Kind, s.Name, s.Field)
	if s.Text {
		text += " (in a text)"
	}
	return Clip(text, MaxPlace)
}

// Bounds, in bytes.
const (
	MaxText  = 1 << 10 // of one error, which is shown in a condition
	MaxName  = 256     // of a name or path
	MaxPlace = 256     // of a place
	// MaxReference has room for a repository of 255 bytes, a tag of 128 and a digest of 135.
	MaxReference = 1 << 10
)

// Clip returns a text of a chart on one line, without characters that cannot be printed, and cut to at most n bytes. It
// cuts the middle of a longer text, because the end of an error message says what has happened.
func Clip(s string, n int) string {
	if len(s) > n {
		const gap = " ... "
		s = strings.ToValidUTF8(s[:(n-len(gap))/2], "") + gap + strings.ToValidUTF8(s[len(s)-(n-len(gap))/2:], "")
	}
	return v1alpha1.Line(s)
}

package images

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// ErrImage says: it names an image by a reference that no container runtime takes.
var ErrImage = errors.New("the chart names an unreadable image")

// Origin says where the host of an image comes from.
type Origin string

// Origins of an image.
const (
	// OriginOurs: it follows registryValuesPaths, so it is pulled from the store's registry.
	OriginOurs Origin = "Ours"
	// OriginForeign: it does not, so it is pulled from the host that it names, whatever is set.
	OriginForeign Origin = "Foreign"
)

// Why says why an image is needed, or why it is not.
type Why string

// Only what is deployed is needed; all else is optional.
const (
	WhyDeployed   Why = "Deployed"   // a template names it, as the chart is deployed by default
	WhyTest       Why = "Test"       // only `helm test` applies what names it
	WhyDependency Why = "Dependency" // a template names it only with a dependency that is switched off
	WhyValues     Why = "Values"     // only the values name it
)

// rank is 0 for the reason that counts most.
func (w Why) rank() int {
	return slices.Index([]Why{WhyDeployed, WhyTest, WhyDependency, WhyValues}, w)
}

// Image is an image that a chart names.
type Image struct {
	// Reference is as found. Host, Repository, Tag and Digest are its parts, normalised as
	// container runtimes do: nginx is docker.io, library/nginx, latest. All are empty for
	// a reference that cannot be parsed. Tag is also empty if there is a digest and no tag, and,
	// for images in values, in texts and in fields of custom resources, if they do not name a tag: then
	// any one may be meant.
	Reference, Host, Repository, Tag, Digest string
	Origin                                   Origin
	// Why is the reason that counts most of its sources.
	Why Why
	// Sources are the places that name it, those of the reason that counts first; at least one.
	Sources []Source
}

// Optional reports whether the chart is deployed by default without the image.
func (i Image) Optional() bool { return i.Why != WhyDeployed }

// Source is a place in a chart that names an image: a template, or the values.
type Source struct {
	// Template is the file, such as app/charts/db/templates/pod.yaml. Kind and Name are those of
	// the object and Field is where in it, with list members by their names:
	// spec.template.spec.containers.web.image.
	Template, Kind, Name, Field string
	// Text is true if the field is a text that names the image among other things: an argument, a file.
	Text bool
	// Hook is the object's annotation helm.sh/hook: pre-install, test. "" for what is not a hook.
	Hook string
	// Values is the path in the values, such as db.image, and . for all of them. Then the others are empty.
	Values string
	Why    Why
}

// String names the place for people, in at most 256 bytes.
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
	MaxText  = 1 << 10 // of one error, which ends up in a condition
	MaxName  = 256     // of a name or path
	MaxPlace = 256     // of a place
	// MaxReference has room for a repository of 255 bytes, a tag of 128 and a digest of 135.
	MaxReference = 1 << 10
)

// Clip cuts a text of a chart to at most n bytes of what can be printed, on one line. Of a long one
// it leaves out the middle: errors tell at the end what has happened.
func Clip(s string, n int) string {
	if len(s) > n {
		const gap = " ... "
		s = strings.ToValidUTF8(s[:(n-len(gap))/2], "") + gap + strings.ToValidUTF8(s[len(s)-(n-len(gap))/2:], "")
	}
	return v1alpha1.Line(s)
}

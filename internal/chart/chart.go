package chart

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nfo-operator/nfo/internal/chart/render"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// What can be wrong with a chart. An error of [Reader.Read] that wraps one of these is a fact
// about the chart: reading it again gives the same. With every one of them the chart may name
// more images than were found, so that whoever asks keeps everything (I2).
var (
	// ErrNotChart: the bytes are no chart archive, or one with what no chart has: a path out of
	// the chart, a link, no Chart.yaml, a name or version that Helm refuses.
	ErrNotChart = errors.New("not a chart")
	// ErrTooLarge: the archive, its content, what it renders or what it names is over a bound.
	ErrTooLarge = render.ErrTooLarge
	// ErrRender: Helm cannot load or render it, or a rendered document is no YAML.
	ErrRender = render.ErrFailed
	// ErrImage: it names an image by a reference that no container runtime takes.
	ErrImage = errors.New("the chart names an unreadable image")
	// ErrTimeout: reading took more processor time than [Limits] allow.
	ErrTimeout = errors.New("reading the chart took too long")
	// ErrMemory: reading needed more memory than [Limits] allow.
	ErrMemory = errors.New("reading the chart ran out of memory")
	// ErrCrashed: the process that read it ended in another way than these.
	ErrCrashed = errors.New("reading the chart crashed")
)

// AboutChart reports whether an error of [Reader.Read] is a fact about the chart.
func AboutChart(err error) bool {
	for _, is := range []error{ErrNotChart, ErrTooLarge, ErrRender, ErrImage, ErrTimeout, ErrMemory, ErrCrashed} {
		if errors.Is(err, is) {
			return true
		}
	}
	return false
}

// MaxBytes bounds the archive of a chart.
const MaxBytes = maxArchiveBytes

// Request is a chart and how a definition deploys it.
type Request struct {
	// Archive is the chart as `helm package` packs it and as it lies in a registry under the
	// media type application/vnd.cncf.helm.chart.content.v1.tar+gzip. At most 8 MiB, and 32 MiB
	// unpacked.
	Archive []byte
	// RegistryValuesPaths and ImagePullSecretsValuesPaths are those of the definition, in the
	// syntax of `helm --set`. They may be empty.
	RegistryValuesPaths, ImagePullSecretsValuesPaths []string
}

// Chart is what was read of a chart. Strings of the chart are cut to 256 bytes, references to 1024,
// and what cannot be printed is left out of them.
type Chart struct {
	Name, Version, AppVersion string
	// Type is application or library. A library renders nothing and so names no image.
	Type string
	// Dependencies are in order of their paths, those of dependencies too.
	Dependencies []Dependency
	// Images are in order of their references, each with its origin once.
	Images []Image
	// Remarks tell what does not concern needed images: what could not be read of dependencies that are switched
	// off, of tests and of files that are no manifests. They may name more images.
	Remarks []string
	// Limited is true if one of [Limits] ended the reading: with greater ones there may be more.
	Limited bool
}

// DependencyState says whether a dependency is deployed with the chart.
type DependencyState string

// States of a dependency, with the chart's default values.
const (
	DependencyEnabled  DependencyState = "Enabled"  // deployed
	DependencyDisabled DependencyState = "Disabled" // switched off by its condition or tags, or that of the chart above it
	DependencyMissing  DependencyState = "Missing"  // not in the archive
	DependencyUnknown  DependencyState = "Unknown"  // the chart cannot be loaded
)

// Dependency is a chart that another one declares, or carries undeclared, which Helm renders too.
type Dependency struct {
	// Path leads to it, by aliases where there are some: db, or app.db. It is also where its values are.
	Path string
	// Name is the dependency's own, Alias the name it is deployed under, "" for its own.
	Name, Alias string
	// Range is the version asked for, "" if undeclared. Version is that in the archive, "" if
	// Missing or Unknown.
	Range, Version string
	// Condition and Tags are those of its declaration, the first 8 of the tags.
	Condition string
	Tags      []string
	State     DependencyState
}

// ImageOrigin says where the host of an image comes from.
type ImageOrigin string

// Origins of an image.
const (
	// OriginOurs: it follows registryValuesPaths, so it is pulled from the store's registry.
	OriginOurs ImageOrigin = "Ours"
	// OriginForeign: it does not, so it is pulled from the host that it names, whatever is set.
	OriginForeign ImageOrigin = "Foreign"
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
	Origin                                   ImageOrigin
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
	// Hook is the object's annotation helm.sh/hook: pre-install, test. "" for what is no hook.
	Hook string
	// Values is the path in the values, such as db.image, and . for all of them. Then the others are empty.
	Values string
	Why    Why
}

// String names the place for people, in at most 256 bytes.
func (s Source) String() string {
	if s.Values != "" {
		return clip("values "+s.Values, maxChartPlace)
	}
	text := fmt.Sprintf("%s %s/%s %s", s.Template, s.Kind, s.Name, s.Field)
	if s.Text {
		text += " (in a text)"
	}
	return clip(text, maxChartPlace)
}

// chartProblem is an error of the child, on its way to the parent.
type chartProblem struct{ Class, Text string }

// chartClasses are the errors that the child can send.
var chartClasses = map[string]error{
	"NotChart": ErrNotChart, "TooLarge": ErrTooLarge, "Render": ErrRender, "Image": ErrImage,
}

func problemOf(err error) chartProblem {
	text := clip(Readable(err.Error()), maxChartText)
	for _, class := range []string{"NotChart", "TooLarge", "Image", "Render"} {
		if errors.Is(err, chartClasses[class]) {
			return chartProblem{class, text}
		}
	}
	return chartProblem{"Render", clip(ErrRender.Error()+": "+text, maxChartText)}
}

// chartFailure is a chartProblem as an error again.
type chartFailure struct {
	class error
	text  string
}

func (f *chartFailure) Error() string { return f.text }
func (f *chartFailure) Unwrap() error { return f.class }

func (p chartProblem) err() error {
	class, ok := chartClasses[p.Class]
	if !ok {
		return fmt.Errorf("%w: unknown answer %q", ErrCrashed, p.Class)
	}
	return &chartFailure{class, p.Text}
}

const (
	maxChartText   = 1 << 10 // of one error, which ends up in a condition
	maxChartString = 256     // of a name or path
	maxChartPlace  = 256     // of a place
	// A repository's name has 255 bytes, a tag 128, a digest 135 at most.
	maxChartReference = 1 << 10
)

// clip cuts a text of a chart to at most n bytes of what can be printed, on one line. Of a long one
// it leaves out the middle: errors tell at the end what has happened.
func clip(s string, n int) string {
	if len(s) > n {
		const gap = " ... "
		s = strings.ToValidUTF8(s[:(n-len(gap))/2], "") + gap + strings.ToValidUTF8(s[len(s)-(n-len(gap))/2:], "")
	}
	return v1alpha1.Line(s)
}

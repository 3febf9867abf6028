package chart

import (
	"errors"
	"fmt"

	"github.com/nfo-operator/nfo/internal/chart/images"
	"github.com/nfo-operator/nfo/internal/chart/record"
	"github.com/nfo-operator/nfo/internal/chart/render"
)

// What can be wrong with a chart. An error of [Reader.Read] that wraps one of these is a fact
// about the chart: reading it again gives the same. With every one of them the chart may name
// more images than were found, so that anyone who asks keeps everything (I2).
var (
	// ErrNotChart: the bytes are no chart archive, or one with what no chart has: a path out of
	// the chart, a link, no Chart.yaml, a name or version that Helm refuses.
	ErrNotChart = errors.New("not a chart")
	// ErrTooLarge: the archive, its content, what it renders or what it names is over a bound.
	ErrTooLarge = render.ErrTooLarge
	// ErrRender: Helm cannot load or render it, or a rendered document is not YAML.
	ErrRender = render.ErrFailed
	// ErrTimeout: reading took more processor time than [Limits] allow.
	ErrTimeout = errors.New("reading the chart took too long")
	// ErrMemory: reading needed more memory than [Limits] allow.
	ErrMemory = errors.New("reading the chart ran out of memory")
	// ErrCrashed: the process that read it ended in another way than these.
	ErrCrashed = errors.New("reading the chart crashed")
)

// AboutChart reports whether an error of [Reader.Read] is a fact about the chart.
func AboutChart(err error) bool {
	for _, is := range []error{ErrNotChart, ErrTooLarge, ErrRender, images.ErrImage, ErrTimeout, ErrMemory, ErrCrashed} {
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
	// Archive is the chart as `helm package` packs it and as it is in a registry under the
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
	Images []images.Image
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

// chartProblem is an error of the child, on its way to the parent.
type chartProblem struct{ Class, Text string }

// chartClasses are the errors that the child can send.
var chartClasses = map[string]error{
	"NotChart": ErrNotChart, "TooLarge": ErrTooLarge, "Render": ErrRender, "Image": images.ErrImage,
	"Record": record.ErrUnreadable, "RecordTooLarge": record.ErrTooLarge,
}

func problemOf(err error) chartProblem {
	text := images.Clip(images.Readable(err.Error()), images.MaxText)
	for _, class := range []string{"Record", "RecordTooLarge", "NotChart", "TooLarge", "Image", "Render"} {
		if errors.Is(err, chartClasses[class]) {
			return chartProblem{class, text}
		}
	}
	return chartProblem{"Render", images.Clip(ErrRender.Error()+": "+text, images.MaxText)}
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

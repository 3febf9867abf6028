package chart

import (
	"errors"
	"fmt"

	"github.com/nfo-operator/nfo/internal/chart/images"
	"github.com/nfo-operator/nfo/internal/chart/record"
	"github.com/nfo-operator/nfo/internal/chart/render"
)

// The faults of a chart. An error of [Reader.Read] that wraps one of them is a fact about
// the chart: reading it again gives the same error. With each of them, the chart may
// reference more images than were found, so callers must keep everything (I2).
var (
	// ErrNotChart: the bytes are not a chart archive, or the archive has something that no chart has: a path out of the
	// chart, a link, no Chart.yaml, a name or version that Helm refuses.
	ErrNotChart = errors.New("not a chart")
	// ErrTooLarge: the archive, its content, its rendered text or its number of images exceeds a bound.
	ErrTooLarge = render.ErrTooLarge
	// ErrRender: Helm cannot load or render the chart, or a rendered document is not YAML.
	ErrRender = render.ErrFailed
	// ErrTimeout: reading took more processor time than [Limits] allow.
	ErrTimeout = errors.New("reading the chart took too long")
	// ErrMemory: reading needed more memory than [Limits] allow.
	ErrMemory = errors.New("reading the chart ran out of memory")
	// ErrCrashed: the process that read the chart ended in another way.
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

// MaxBytes bounds the archive of a chart, in bytes.
const MaxBytes = maxArchiveBytes

// Request is a chart and how a definition deploys it.
type Request struct {
	// Archive is the chart as `helm package` packs it, and as registries store it with the media type
	// application/vnd.cncf.helm.chart.content.v1.tar+gzip. At most 8 MiB, and 32 MiB unpacked.
	Archive []byte
	// RegistryValuesPaths and ImagePullSecretsValuesPaths are those of
	// the definition, in the syntax of `helm --set`. They may be empty.
	RegistryValuesPaths, ImagePullSecretsValuesPaths []string
}

// Chart is the result of reading a chart. Strings of the chart are cut to 256
// bytes and references to 1024, without characters that cannot be printed.
type Chart struct {
	Name, Version, AppVersion string
	// Type is application or library. A library renders nothing and so has no images.
	Type string
	// Dependencies are sorted by path, and include the dependencies of dependencies.
	Dependencies []Dependency
	// Images are sorted by reference. Each occurs once for each of its origins.
	Images []images.Image
	// Remarks are problems that can only hide optional images: in disabled
	// dependencies, in tests and in files that are not manifests.
	Remarks []string
	// Limited is true if one of [Limits] ended the reading, so that greater limits may find more.
	Limited bool
}

// DependencyState says whether a dependency is deployed with the chart.
type DependencyState string

// States of a dependency, with the chart's default values.
const (
	DependencyEnabled  DependencyState = "Enabled"  // deployed
	DependencyDisabled DependencyState = "Disabled" // disabled by its condition or tags, or by those of a chart above it
	DependencyMissing  DependencyState = "Missing"  // not in the archive
	DependencyUnknown  DependencyState = "Unknown"  // the chart cannot be loaded
)

// Dependency is a chart that another chart declares, or that it contains undeclared. Helm renders undeclared ones too.
type Dependency struct {
	// Path consists of the names or aliases that lead to the dependency: db, or app.db. It is also the path of its values.
	Path string
	// Name is the dependency's name. Alias is the name under which it is deployed, "" if that is Name.
	Name, Alias string
	// Range is the version that the declaration asks for, "" if there is none.
	// Version is the one in the archive, "" if the State is Missing or Unknown.
	Range, Version string
	// Condition and Tags are those of the declaration, with at most 8 tags.
	Condition string
	Tags      []string
	State     DependencyState
}

// chartProblem is an error as the child sends it to the parent.
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

// chartFailure is a chartProblem that the parent has turned into an error again.
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

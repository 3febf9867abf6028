package chart

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	helmchart "helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/nfo-operator/nfo/internal/chart/images"
	"github.com/nfo-operator/nfo/internal/chart/render"
)

// kubeVersion is the version of Kubernetes for which charts are rendered.
const kubeVersion = "v1.37.0"

// chartAnswer has everything that is known of a chart so far.
type chartAnswer struct {
	Chart    Chart
	Problems []chartProblem
	// Read is true if everything that follows concerns only optional images.
	Read bool
	// Unread says which part is not known if nothing follows, "" if there is none.
	Unread string
	// Done is true in the last answer.
	Done bool
}

// chartReading is one reading of a chart. It begins with what costs least and ends with what can cost most, so that
// cheap results have been sent before the process may be ended.
type chartReading struct {
	request Request
	files   []*loader.BufferedFile
	images  images.Found
	answer  chartAnswer
	// failed has the files that fail when the chart is rendered as it is deployed.
	failed map[string]error
	tell   func(chartAnswer) error
}

// everyStage is the name of the stage that finds only optional images.
const everyStage = "with all dependencies"

// readChart reads a chart in this process. Its templates can take any time and memory: see [Reader]. tell is called
// with what is known so far, the last time with Done. If tell returns an error, the reading ends. The chart is rendered
// as it is deployed: with its default values, and with the registry set if the definition says where. If this leaves
// out dependencies, the chart is rendered a second time with all of them.
func readChart(q Request, tell func(chartAnswer) error) error {
	r := &chartReading{request: q, tell: tell}
	deployed, every := r.load()
	if deployed != nil {
		if err := r.report(); err != nil {
			return err
		}
		r.deployed(*deployed)
	}
	if every != nil {
		*deployed = chartStage{} // frees its memory for the next stage
		r.answer.Read, r.answer.Unread = true, everyStage
		if err := r.report(); err != nil {
			return err
		}
		r.every(*every)
	}
	r.answer.Read, r.answer.Done = true, true
	return r.report()
}

// load reads everything except the templates, and returns the stages in which to render them.
func (r *chartReading) load() (deployed, every *chartStage) {
	var err error
	if r.files, err = unpackChart(r.request.Archive); err != nil {
		r.problem(err)
		return nil, nil
	}
	c, err := loadChart(r.files)
	if c != nil {
		r.metadata(c)
	}
	switch {
	case err != nil:
		r.problem(err)
		if c != nil {
			r.partly(chartStage{chart: c, declared: declarations(c)})
		}
		return nil, nil
	case r.answer.Chart.Type == "library":
		return nil, nil
	}
	if _, err := setValues(r.request); err != nil {
		r.problem(err)
	}
	return r.stages(c)
}

// stages lists the dependencies and the images in values, and returns the stages. deployed is nil if there is nothing
// to render. every is nil if it would render the same as deployed, or if not all dependencies can be deployed.
func (r *chartReading) stages(c *helmchart.Chart) (deployed, every *chartStage) {
	optional, missing := switched(c), missingDependencies(c)
	values, _ := setValues(r.request) // the error was reported before
	is, err := deploy(c, values, false)
	if err != nil {
		r.problem(err)
		r.partly(is)
		return nil, nil
	}
	if err := missingError(is, missing, true); err != nil {
		r.problem(err)
	}
	if err := missingError(is, missing, false); err != nil {
		r.remark("", err)
	}
	all := is
	if optional {
		if all, err = r.deployAll(); err != nil {
			all = is
			r.remark(everyStage, err)
		}
	}
	r.list(listDependencies(all.chart, all.declared, "", deployedPaths(is.chart, "", map[string]bool{})))
	merged, err := chartutil.CoalesceValues(all.chart, values)
	if err != nil {
		merged = all.chart.Values
	}
	r.images.AddValues(images.FindInValues(merged, r.registry()))
	if !slices.ContainsFunc(r.answer.Chart.Dependencies, func(d Dependency) bool { return d.State == DependencyDisabled }) || all.chart == is.chart {
		return &is, nil
	}
	return &is, &all
}

// deployAll returns the stage with all dependencies of the chart.
func (r *chartReading) deployAll() (chartStage, error) {
	c, err := loadChart(r.files)
	if err != nil {
		return chartStage{}, err
	}
	values, _ := setValues(r.request)
	return deploy(c, values, true)
}

// partly records what is known of a chart that Helm can load or deploy only in part.
func (r *chartReading) partly(s chartStage) {
	r.list(listDependencies(&helmchart.Chart{Metadata: s.chart.Metadata}, s.declared, "", nil))
	for i := range r.answer.Chart.Dependencies {
		r.answer.Chart.Dependencies[i].State = DependencyUnknown
	}
	r.images.AddValues(images.FindInValues(s.chart.Values, ""))
}

func (r *chartReading) metadata(c *helmchart.Chart) {
	m, known := c.Metadata, &r.answer.Chart
	known.Name, known.Version, known.AppVersion = images.Clip(m.Name, images.MaxName), images.Clip(m.Version, images.MaxName), images.Clip(m.AppVersion, images.MaxName)
	known.Type = "application"
	if m.Type != "" {
		known.Type = m.Type
	}
}

func (r *chartReading) list(dependencies []Dependency) {
	if n := len(dependencies); n > maxDependencies {
		r.problem(fmt.Errorf("%w: it has %d dependencies, at most %d are read", ErrTooLarge, n, maxDependencies))
		dependencies = dependencies[:maxDependencies]
	}
	r.answer.Chart.Dependencies = dependencies
}

// registry returns the registry that is set, "" if the definition has no path for it.
func (r *chartReading) registry() string {
	if len(r.request.RegistryValuesPaths) > 0 {
		return images.Registry
	}
	return ""
}

// deployed renders the chart as it is deployed, and adds its images.
func (r *chartReading) deployed(s chartStage) {
	out, err := s.render()
	if err != nil {
		r.problem(err)
	}
	found, problems := images.Find(out)
	for _, file := range slices.Sorted(maps.Keys(out.Failed)) {
		r.failure(out, file, out.Failed[file])
	}
	for _, p := range problems {
		r.failure(out, p.File, p.Err)
		out.Failed[p.File] = cmp.Or(out.Failed[p.File], p.Err)
	}
	r.failed = out.Failed
	for _, err := range r.images.Need(found, r.registry(), out.Failed) {
		r.problem(err)
	}
	for _, joined := range r.images.Joined {
		r.remark("", joined)
	}
}

// failure reports a file that fails. A failure of a file that is not a manifest, or
// that has only tests, can hide no needed image, so it becomes a remark.
func (r *chartReading) failure(out render.Rendering, file string, err error) {
	if !errors.Is(err, ErrTooLarge) && (!images.IsManifest(file) || images.OnlyTests(out.Sources[file])) {
		r.remark("", err)
		return
	}
	r.problem(err)
}

// every renders the chart with all dependencies, and adds the images that only this finds.
func (r *chartReading) every(s chartStage) {
	out, err := s.render()
	if err != nil {
		r.remark(everyStage, err)
	}
	found, problems := images.Find(out)
	for _, file := range slices.Sorted(maps.Keys(out.Failed)) {
		problems = append(problems, images.FileProblem{File: file, Err: out.Failed[file]})
	}
	for _, p := range problems {
		// Other problems were reported before, or come from values that a user must set to enable the dependency.
		if r.failed[p.File] == nil && !errors.Is(p.Err, render.ErrRefused) {
			r.remark(everyStage, p.Err)
		}
	}
	for _, err := range r.images.AddOptional(found, r.registry(), out.Failed) {
		r.remark(everyStage, err)
	}
}

// render renders a stage.
func (s chartStage) render() (out render.Rendering, err error) {
	release := chartutil.ReleaseOptions{Name: "release-name", Namespace: "default", Revision: 1, IsInstall: true}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: merging its values: %v", ErrRender, r)
		}
	}()
	// The values are not checked against values.schema.json, because it may contain URLs, which Helm would fetch.
	top, err := chartutil.ToRenderValuesWithSchemaValidation(s.chart, s.values, release, capabilities(), true)
	if err != nil {
		return render.Rendering{}, fmt.Errorf("%w: merging its values: %w", ErrRender, err)
	}
	return render.Chart(s.chart, top), nil
}

// capabilities returns those of a cluster with everything that Kubernetes provides itself. Charts ask for versions
// (apps/v1) and for kinds (apps/v1/Deployment).
func capabilities() *chartutil.Capabilities {
	c := chartutil.DefaultCapabilities.Copy()
	if v, err := chartutil.ParseKubeVersion(kubeVersion); err == nil {
		c.KubeVersion = *v
	}
	known := map[string]bool{}
	for kind := range scheme.Scheme.AllKnownTypes() {
		known[kind.GroupVersion().String()+"/"+kind.Kind] = true
	}
	c.APIVersions = append(slices.Clone(c.APIVersions), slices.Sorted(maps.Keys(known))...)
	return c
}

const (
	maxProblems     = 8
	maxRemarks      = 16
	maxDependencies = 1024
)

func (r *chartReading) problem(err error) {
	if len(r.answer.Problems) < maxProblems {
		r.answer.Problems = append(r.answer.Problems, problemOf(err))
	}
}

// remark records a problem that concerns only optional images.
func (r *chartReading) remark(stage string, err error) {
	text := strings.TrimPrefix(stage+": "+err.Error(), ": ")
	text = images.Clip(images.Readable(text), images.MaxText)
	if len(r.answer.Chart.Remarks) < maxRemarks && !slices.Contains(r.answer.Chart.Remarks, text) {
		r.answer.Chart.Remarks = append(r.answer.Chart.Remarks, text)
	}
}

// report sends what is known so far.
func (r *chartReading) report() error {
	images, err := r.images.List()
	r.answer.Chart.Images = images
	if err != nil && r.answer.Done {
		r.problem(err)
	}
	return r.tell(r.answer)
}

package chart

import (
	"fmt"
	"maps"
	"slices"

	helmchart "helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"k8s.io/client-go/kubernetes/scheme"
)

// kubeVersion is the Kubernetes that charts are rendered for.
const kubeVersion = "v1.37.0"

// chartAnswer is all that is known of a chart so far.
type chartAnswer struct {
	Chart    Chart
	Problems []chartProblem
	// Read: what follows concerns only what the chart does without.
	Read bool
	// Unread is what is not known of the chart if nothing follows, "" for nothing.
	Unread string
	// Done: nothing follows.
	Done bool
}

// chartReading is one reading of a chart. It goes from what costs least to what a chart can make
// cost most, so that what is known at any time has been told.
type chartReading struct {
	request Request
	files   []*loader.BufferedFile
	images  chartImages
	answer  chartAnswer
	tell    func(chartAnswer) error
}

// readChart reads a chart in this process. Its templates can take any time and memory: see
// [Reader]. tell is called with what is known so far, the last time with Done; its error ends
// the reading.
func readChart(q Request, tell func(chartAnswer) error) error {
	r := &chartReading{request: q, tell: tell}
	stages := r.load()
	for i, stage := range stages {
		r.answer.Unread = ""
		if stage.all {
			r.answer.Unread = stage.name
		}
		if err := r.report(); err != nil {
			return err
		}
		if i == 0 {
			r.deployed(stage)
		} else {
			r.further(stage)
		}
		r.answer.Read = true
	}
	r.answer.Read, r.answer.Done = true, true
	return r.report()
}

// load reads all but the templates, and returns the stages to render them in. The first one is how
// the chart is deployed: with its default values, and the registry set if the definition says where.
func (r *chartReading) load() []chartStage {
	var err error
	if r.files, err = unpackChart(r.request.Archive); err != nil {
		r.problem(err)
		return nil
	}
	c, err := loadChart(r.files)
	if c != nil {
		r.metadata(c)
	}
	switch {
	case err != nil:
		r.problem(err)
		if c != nil {
			r.partly(c, declarations(c))
		}
		return nil
	case r.answer.Chart.Type == "library":
		return nil
	}
	if err := missingDependencies(c); err != nil {
		r.problem(err)
	}
	if _, err := setValues(r.request); err != nil {
		r.problem(err)
	}
	q := r.request
	deployed := chartStage{name: "as it is deployed", set: len(q.RegistryValuesPaths)+len(q.ImagePullSecretsValuesPaths) > 0}
	every := chartStage{name: "with all dependencies", set: deployed.set, all: true}
	if !r.dependencies(deployed, every) {
		return nil
	}
	stages := []chartStage{deployed}
	if len(r.off()) > 0 {
		stages = append(stages, every)
	}
	if deployed.set {
		stages = append(stages, chartStage{name: "with no registry set"})
	}
	return stages
}

// partly tells what is known of a chart that Helm loads or deploys in part.
func (r *chartReading) partly(c *helmchart.Chart, declared map[*helmchart.Dependency]helmchart.Dependency) {
	r.list(listDependencies(&helmchart.Chart{Metadata: c.Metadata}, declared, "", nil))
	for i := range r.answer.Chart.Dependencies {
		r.answer.Chart.Dependencies[i].State = DependencyUnknown
	}
	r.images.addValues(findValueImages(c.Values, ""), nil)
}

func (r *chartReading) metadata(c *helmchart.Chart) {
	m, known := c.Metadata, &r.answer.Chart
	known.Name, known.Version, known.AppVersion = clip(m.Name, maxChartString), clip(m.Version, maxChartString), clip(m.AppVersion, maxChartString)
	known.Type = "application"
	if m.Type != "" {
		known.Type = m.Type
	}
}

// dependencies lists the dependencies and the images in values. It reports whether there is anything
// to render.
func (r *chartReading) dependencies(deployed, every chartStage) bool {
	is, declared, err := deployed.deploy(r.files, r.request)
	if err != nil {
		r.problem(err)
		if is != nil {
			r.partly(is, declared)
		}
		return false
	}
	all, declaredAll, err := every.deploy(r.files, r.request)
	if err != nil {
		all, declaredAll = is, declared
		r.unread(every, err)
	}
	r.list(listDependencies(all, declaredAll, "", deployedPaths(is, "", map[string]bool{})))
	values, err := chartutil.CoalesceValues(all, deployed.values(r.request))
	if err != nil {
		values = all.Values
	}
	r.images.addValues(findValueImages(values, r.registry(deployed)), r.off())
	return true
}

func (r *chartReading) list(dependencies []Dependency) {
	if n := len(dependencies); n > maxDependencies {
		r.problem(fmt.Errorf("%w: it has %d dependencies, at most %d are read", ErrTooLarge, n, maxDependencies))
		dependencies = dependencies[:maxDependencies]
	}
	r.answer.Chart.Dependencies = dependencies
}

// registry is the registry that a stage sets, "" for none.
func (r *chartReading) registry(s chartStage) string {
	if s.set && len(r.request.RegistryValuesPaths) > 0 {
		return Registry
	}
	return ""
}

// off are the paths of the dependencies that are switched off.
func (r *chartReading) off() []string {
	var off []string
	for _, d := range r.answer.Chart.Dependencies {
		if d.State == DependencyDisabled {
			off = append(off, d.Path)
		}
	}
	return off
}

// deployed renders the chart as it is deployed, and adds its images.
func (r *chartReading) deployed(stage chartStage) {
	rendered, err := stage.render(r.files, r.request, false)
	lenient := err != nil
	if lenient {
		r.problem(err)
		// Without what required and fail insist on, there is more to see.
		rendered, _ = stage.render(r.files, r.request, true)
	}
	found, problems := findImages(rendered)
	for _, err := range append(problems, r.images.need(found, r.registry(stage), lenient)...) {
		r.problem(err)
	}
}

// further renders the chart in another stage, and adds what differs. What no registry set renders
// is not deployed, and often cannot be rendered at all: that is no loss.
func (r *chartReading) further(stage chartStage) {
	rendered, err := stage.render(r.files, r.request, true)
	found, problems := findImages(rendered)
	if !stage.all {
		r.images.addReplaced(found)
		return
	}
	problems = append(problems, r.images.addOptional(found, r.registry(stage))...)
	if err != nil {
		problems = append(problems, err)
	}
	for _, err := range problems {
		r.unread(stage, err)
	}
}

// render renders the chart. A lenient rendering goes on where the chart calls required or fail.
func (s chartStage) render(files []*loader.BufferedFile, q Request, lenient bool) (map[string]string, error) {
	c, _, err := s.deploy(files, q)
	if err != nil {
		return nil, err
	}
	release := chartutil.ReleaseOptions{Name: "release-name", Namespace: "default", Revision: 1, IsInstall: true}
	// No check against values.schema.json: it may name URLs, and Helm would fetch them.
	top, err := chartutil.ToRenderValuesWithSchemaValidation(c, s.values(q), release, capabilities(), true)
	if err != nil {
		return nil, fmt.Errorf("%w: merging its values: %w", ErrRender, err)
	}
	rendered, err := engine.Engine{LintMode: lenient}.Render(c, top)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRender, err)
	}
	return rendered, nil
}

// capabilities are those of a cluster with everything that Kubernetes has by itself. Charts ask for
// versions (apps/v1) and for kinds (apps/v1/Deployment).
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
	maxUnread       = 16
	maxDependencies = 1024
)

func (r *chartReading) problem(err error) {
	if len(r.answer.Problems) < maxProblems {
		r.answer.Problems = append(r.answer.Problems, problemOf(err))
	}
}

func (r *chartReading) unread(stage chartStage, err error) {
	if len(r.answer.Chart.Unread) < maxUnread {
		r.answer.Chart.Unread = append(r.answer.Chart.Unread, clip(stage.name+": "+err.Error(), maxChartText))
	}
}

// report tells what is known.
func (r *chartReading) report() error {
	images, err := r.images.list()
	r.answer.Chart.Images = images
	if err != nil && r.answer.Done {
		r.problem(err)
	}
	return r.tell(r.answer)
}

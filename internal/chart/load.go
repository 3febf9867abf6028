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
	"helm.sh/helm/v3/pkg/strvals"

	"github.com/nfo-operator/nfo/internal/chart/images"
)

const maxDependencyTags = 8

// loadChart loads a chart. If it returns both a chart and an error, the metadata is valid and the error is about
// another file. Helm changes the files that it gets, so each stage loads the chart anew.
func loadChart(files []*loader.BufferedFile) (c *helmchart.Chart, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: loading it: %v", ErrNotChart, r)
		}
	}()
	own := make([]*loader.BufferedFile, len(files))
	for i, f := range files {
		file := *f
		own[i] = &file
	}
	c, err = loader.LoadFiles(own)
	switch {
	case err == nil:
		return c, nil
	case c != nil && c.Metadata != nil && c.Validate() == nil:
		return c, fmt.Errorf("%w: loading it: %w", ErrRender, err)
	}
	return nil, fmt.Errorf("%w: loading it: %w", ErrNotChart, err)
}

// chartStage is one way to deploy a chart.
type chartStage struct {
	chart    *helmchart.Chart
	declared map[*helmchart.Dependency]helmchart.Dependency
	values   map[string]any
}

// setValues returns the values that the operator sets. If there is an error, it still returns those that can be set.
func setValues(q Request) (map[string]any, error) {
	values := map[string]any{}
	var errs []error
	set := func(path, assign, value string) {
		if err := strvals.ParseIntoString(path+assign+value, values); err != nil {
			errs = append(errs, fmt.Errorf("%w: setting the values path %q: %w", ErrRender, images.Clip(path, images.MaxName), err))
		}
	}
	for _, path := range q.ImagePullSecretsValuesPaths {
		set(path, "[0].name=", "pull-secret")
	}
	for _, path := range q.RegistryValuesPaths {
		set(path, "=", images.Registry)
	}
	return values, errors.Join(errs...)
}

// deploy removes or renames the dependencies of a chart as Helm does when it installs the chart. With every, it keeps
// all of them, whatever their conditions and tags say. After an error they stay as they are at that point.
func deploy(c *helmchart.Chart, values map[string]any, every bool) (s chartStage, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: processing its dependencies: %v", ErrRender, r)
		}
	}()
	s = chartStage{c, declarations(c), values}
	if every {
		switchOn(c, "", values)
		for d := range s.declared {
			d.Condition, d.Tags = "", nil
		}
	}
	if err := chartutil.ProcessDependenciesWithMerge(c, values); err != nil {
		return s, fmt.Errorf("%w: processing its dependencies: %w", ErrRender, err)
	}
	return s, nil
}

// switchOn sets the values that enable dependencies, because templates of the chart above may use these values too.
func switchOn(c *helmchart.Chart, at string, values map[string]any) {
	for _, d := range c.Metadata.Dependencies {
		for _, condition := range strings.Split(d.Condition, ",") {
			if condition = strings.TrimSpace(condition); condition != "" {
				setTrue(values, strings.Split(at+condition, "."))
			}
		}
		for _, tag := range d.Tags {
			setTrue(values, []string{"tags", tag})
		}
		for _, sub := range c.Dependencies() {
			if sub.Name() == d.Name {
				switchOn(sub, at+cmp.Or(d.Alias, d.Name)+".", values)
			}
		}
	}
}

// setTrue sets a value to true, unless an existing value that is not a table is in its path.
func setTrue(values map[string]any, at []string) {
	for _, key := range at[:len(at)-1] {
		if values[key] == nil {
			values[key] = map[string]any{}
		}
		below, ok := values[key].(map[string]any)
		if !ok {
			return
		}
		values = below
	}
	values[at[len(at)-1]] = true
}

// switched reports whether any dependency has a condition or tags.
func switched(c *helmchart.Chart) bool {
	for _, d := range declarations(c) {
		if d.Condition != "" || len(d.Tags) > 0 {
			return true
		}
	}
	return false
}

// declarations returns the declared dependencies of a chart and
// of those below it, before Helm replaces names by aliases.
func declarations(c *helmchart.Chart) map[*helmchart.Dependency]helmchart.Dependency {
	declared := map[*helmchart.Dependency]helmchart.Dependency{}
	for _, d := range c.Metadata.Dependencies {
		declared[d] = *d
	}
	for _, sub := range c.Dependencies() {
		maps.Copy(declared, declarations(sub))
	}
	return declared
}

// missingDependencies returns the declared dependencies that are not in charts/. Helm installs no chart without them.
func missingDependencies(c *helmchart.Chart) (missing []*helmchart.Dependency) {
	for _, d := range c.Metadata.Dependencies {
		if !slices.ContainsFunc(c.Dependencies(), func(sub *helmchart.Chart) bool { return sub.Name() == d.Name }) {
			missing = append(missing, d)
		}
	}
	return missing
}

// missingError returns an error for the missing dependencies that are
// deployed, or for those that are not deployed; nil if there are none.
func missingError(s chartStage, missing []*helmchart.Dependency, deployed bool) error {
	var names []string
	for _, d := range missing {
		if slices.Contains(s.chart.Metadata.Dependencies, d) == deployed {
			names = append(names, s.declared[d].Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return fmt.Errorf("%w: dependencies are in Chart.yaml and not in charts/: %s", ErrRender, strings.Join(names, ", "))
}

// deployedPaths returns the paths of the dependencies with which a chart is deployed.
func deployedPaths(c *helmchart.Chart, at string, paths map[string]bool) map[string]bool {
	for _, sub := range c.Dependencies() {
		path := at + sub.Name()
		paths[path] = true
		deployedPaths(sub, path+".", paths)
	}
	return paths
}

// listDependencies lists the dependencies of a chart that contains all of them. Their
// State depends on whether their path is among those of the deployed ones.
func listDependencies(c *helmchart.Chart, declared map[*helmchart.Dependency]helmchart.Dependency, at string, deployed map[string]bool) []Dependency {
	byName := map[string]*Dependency{}
	for _, d := range c.Metadata.Dependencies {
		was := declared[d]
		byName[d.Name] = &Dependency{
			Path: images.Clip(at+d.Name, images.MaxName), Name: images.Clip(was.Name, images.MaxName), Alias: images.Clip(was.Alias, images.MaxName),
			Range: images.Clip(was.Version, images.MaxName), Condition: images.Clip(was.Condition, images.MaxName), State: DependencyMissing,
		}
		for _, tag := range was.Tags[:min(len(was.Tags), maxDependencyTags)] {
			byName[d.Name].Tags = append(byName[d.Name].Tags, images.Clip(tag, images.MaxName))
		}
	}
	var list []Dependency
	for _, sub := range c.Dependencies() {
		path := at + sub.Name()
		d := byName[sub.Name()]
		if d == nil {
			d = &Dependency{Path: images.Clip(path, images.MaxName), Name: images.Clip(sub.Name(), images.MaxName)}
			byName[sub.Name()] = d
		}
		d.Version, d.State = images.Clip(sub.Metadata.Version, images.MaxName), DependencyDisabled
		if deployed[path] {
			d.State = DependencyEnabled
		}
		list = append(list, listDependencies(sub, declared, path+".", deployed)...)
	}
	for _, d := range byName {
		list = append(list, *d)
	}
	slices.SortFunc(list, func(a, b Dependency) int { return cmp.Compare(a.Path, b.Path) })
	return list
}

package input

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nfo-operator/nfo/internal/aosm/arm"
	"github.com/nfo-operator/nfo/internal/aosm/document"
)

// Source is one file of an import.
type Source struct {
	// Name is how the paths of findings begin; "" for the only one. A parameter file x.parameters.json gives
	// its values to the template x.json beside it, or to all templates where none exists.
	Name string
	// Data is what the file contains, at most MaxBytes in all files.
	Data []byte
	// Stray says that the file was found in a directory: it is not a loss if it has nothing of AOSM.
	Stray bool
}

// Document is one JSON document of an import.
type Document struct {
	*document.Node
	source string
	// template says that it is a template, which given are values for.
	template, stray bool

	given Parameters
}

// Read reads the documents of all files within the bounds of one input, the templates with the values of the
// parameter files among them. Errors wrap ErrInput.
func Read(sources []Source) ([]*Document, error) {
	documents, err := readSources(sources)
	if err != nil {
		return nil, err
	}
	if documents, err = giveParameters(documents); err != nil {
		return nil, err
	}
	if len(documents) == 0 {
		return nil, fmt.Errorf("%w: it is empty", document.ErrInput)
	}
	return documents, nil
}

// readSources reads the documents of all files within the bounds of one input. Errors wrap ErrInput.
func readSources(sources []Source) ([]*Document, error) {
	var all []*Document
	size, values := 0, 0
	for _, s := range sources {
		if size += len(s.Data); size > document.MaxBytes {
			return nil, fmt.Errorf("%w: it has more than %d bytes; import its resources in parts", document.ErrInput, document.MaxBytes)
		}
		fail := func(err error) error {
			if s.Name == "" {
				return err
			}
			return fmt.Errorf("%s: %w", s.Name, err)
		}
		if err := document.CheckText(s.Data); err != nil {
			return nil, fail(err)
		}
		documents, err := document.ParseNamed(s.Name, s.Data, &values)
		if err != nil {
			return nil, fail(err)
		}
		if len(documents) == 0 {
			return nil, fail(fmt.Errorf("%w: it is empty", document.ErrInput))
		}
		for _, d := range documents {
			found := unwrapped(d, s.Name)
			found.stray = s.Stray
			all = append(all, found)
		}
	}
	return all, nil
}

// unwrapped is a template, which can be in what `az group export`, the request of a deployment or a template
// spec has around it, with the values that are given there; or any other document as it is.
func unwrapped(n *document.Node, source string) *Document {
	d := &Document{Node: n, source: source, template: isTemplate(n)}
	if d.template {
		return d
	}
	for _, around := range []*document.Node{n, n.Member("properties")} {
		for _, name := range []string{"template", "mainTemplate"} {
			inner := around.Member(name)
			if inner == nil || !isTemplate(inner) {
				continue
			}
			d.Node, d.template = inner, true
			if given := around.Member("parameters"); given != nil && given.Kind == document.Object {
				_ = d.given.readMembers(given, true) // one without a value is reported where it matters
			}
			return d
		}
	}
	return d
}

// isParameterFile reports whether a document gives parameters values.
func isParameterFile(d *Document) bool {
	if d.Kind != document.Object || d.template {
		return false
	}
	if schema := d.Member("$schema"); schema != nil && strings.Contains(arm.Fold(schema.Text), "deploymentparameters.json") {
		return true
	}
	name := arm.Fold(filepath.Base(d.source))
	return d.Member("id") == nil && (strings.HasSuffix(name, parametersFile) || name == parametersFile[1:])
}

const parametersFile = ".parameters.json"

// giveParameters takes the parameter files out of the documents, and gives their values to the templates.
// Without a template they stay, and are reported.
func giveParameters(documents []*Document) ([]*Document, error) {
	if !slices.ContainsFunc(documents, func(d *Document) bool { return d.template }) {
		return documents, nil
	}
	var files, others []*Document
	for _, d := range documents {
		if isParameterFile(d) {
			files = append(files, d)
		} else {
			others = append(others, d)
		}
	}
	for _, own := range []bool{true, false} { // what is for one template alone counts more
		if err := giveValues(files, others, own); err != nil {
			return nil, err
		}
	}
	return others, nil
}

// giveValues gives templates the values of their own files, or of those that are for all. Two files that
// contradict each other are an error: their order says nothing.
func giveValues(files, documents []*Document, own bool) error {
	given := map[*Document]Parameters{}
	for _, f := range files {
		templates, paired := partners(f, documents)
		if paired != own {
			continue
		}
		var p Parameters
		if err := p.readDocument(f.Node); err != nil {
			return err
		}
		for _, t := range templates {
			if name, differs := given[t].differs(p); differs {
				return fmt.Errorf("%w: two parameter files give %q different values for one template; import each template with its own", document.ErrInput, arm.Clip(name))
			}
			given[t] = given[t].over(p)
		}
	}
	for t, p := range given {
		t.given = t.given.over(p)
	}
	return nil
}

// partners are the templates that a parameter file is for: its own, beside it, or all.
func partners(file *Document, documents []*Document) (templates []*Document, paired bool) {
	dir, base := filepath.Dir(file.source), arm.Fold(filepath.Base(file.source))
	base, named := strings.CutSuffix(base, parametersFile)
	var own, all []*Document
	for _, d := range documents {
		if !d.template {
			continue
		}
		all = append(all, d)
		name := arm.Fold(filepath.Base(d.source))
		if named && filepath.Dir(d.source) == dir && strings.TrimSuffix(name, filepath.Ext(name)) == base {
			own = append(own, d)
		}
	}
	if len(own) > 0 {
		return own, true
	}
	return all, false
}

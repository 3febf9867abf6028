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
	// Name begins the paths of findings; "" for an only file. A parameter file x.parameters.json is
	// for the template x.json in the same folder, or for all templates if that one does not exist.
	Name string
	// Data is the content of the file. All files together have at most MaxBytes.
	Data []byte
	// Stray is set for a file found in a directory: such a file without anything of AOSM is only noted.
	Stray bool
}

// Document is one JSON document of an import.
type Document struct {
	*document.Node
	source string
	// template is set if the document is a template; given are the values for its parameters.
	template, stray bool

	given Parameters
}

// Read parses the documents of all files within the bounds of one input, and
// gives the templates the values of the parameter files. Errors wrap ErrInput.
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

// readSources parses the documents of all files within the bounds of one input. Errors wrap ErrInput.
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

// unwrapped returns the document of a node. A template may be wrapped by `az group export`, the request of a
// deployment, or a template spec; unwrapped removes the wrapping, and keeps the values for parameters in it.
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
				_ = d.given.readMembers(given, true) // a missing value is reported at the parameter's use
			}
			return d
		}
	}
	return d
}

// isParameterFile reports whether a document has values for parameters.
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

// giveParameters removes the parameter files from the documents, and gives their values to
// the templates. If the input has no template, the parameter files remain, and are reported.
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
	for _, own := range []bool{true, false} { // a template's own file overrides the others
		if err := giveValues(files, others, own); err != nil {
			return nil, err
		}
	}
	return others, nil
}

// giveValues gives templates the values of their own files, or of those for all templates. Two
// files that contradict each other are an error, because the order of files has no meaning.
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

// partners returns the templates that a parameter file is for: its own in the same folder, or all.
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

package render

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"text/template"

	helmchart "helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chartutil"
)

// The reasons why a file fails.
var (
	// ErrTooLarge: the chart renders more than MaxBytes.
	ErrTooLarge = errors.New("the chart is too large")
	// ErrFailed: the file cannot be parsed or executed.
	ErrFailed = errors.New("the chart cannot be rendered")
	// ErrRefused is wrapped if only the functions required and fail made the file fail.
	ErrRefused = errors.New("refused by the chart")
)

const (
	// MaxBytes bounds the text that a chart renders, in bytes, over all files.
	MaxBytes = 16 << 20
	// maxInclude is the maximum depth at which a template includes itself, as in Helm.
	maxInclude = 1000
	// NotesSuffix is the end of the names of notes, which Helm shows to the user and does not apply.
	NotesSuffix = "NOTES.txt"
)

// Rendering is the result of executing the templates of a chart.
type Rendering struct {
	// Files has the rendered texts by file, such as app/templates/a.yaml.
	Files map[string]string
	// Failed has the errors of the files that fail, by file, in Helm's words. For such a file, Files has the text that it
	// renders when required and fail do nothing, or the documents before the one that fails.
	Failed map[string]error
	// Sources has the templates themselves.
	Sources map[string]string
}

// Chart executes each template of a chart as Helm's engine does, with one difference: Helm stops at the first file that
// cannot be parsed or executed, while Chart records the error and renders the other files. Notes are parsed, because
// other files can include what they define, but not executed.
func Chart(c *helmchart.Chart, top chartutil.Values) Rendering {
	e := &engine{out: Rendering{Files: map[string]string{}, Failed: map[string]error{}, Sources: map[string]string{}}, room: MaxBytes}
	e.root = template.New("gotpl").Option("missingkey=zero")
	e.root.Funcs(templateFunctions())
	e.root.Funcs(e.engineFunctions(e.root, map[string]int{}))
	templates := map[string]scopedTemplate{}
	collectTemplates(c, templates, top)
	files := templateOrder(templates)
	files = slices.DeleteFunc(files, func(file string) bool { return !e.parse(file, templates[file].text) })
	for _, file := range files {
		if base := path.Base(file); strings.HasPrefix(base, "_") || strings.HasSuffix(base, NotesSuffix) {
			continue
		}
		e.render(file, templates[file])
	}
	return e.out
}

// engine executes templates.
type engine struct {
	root *template.Template
	out  Rendering
	// room is the number of bytes that may still be rendered.
	room int
	// lenient makes required and fail do nothing.
	lenient bool
}

// parse parses a file. It reports a file that cannot be parsed, and returns false.
func (e *engine) parse(file, text string) (ok bool) {
	e.out.Sources[file] = text
	_, err := e.root.New(file).Parse(text)
	if err != nil && !strings.HasSuffix(file, NotesSuffix) {
		at, says := place(err)
		e.out.Failed[file] = fmt.Errorf("%w: parse error at (%s): %s", ErrFailed, at, says)
	}
	return err == nil
}

func (e *engine) render(file string, t scopedTemplate) {
	t.scope["Template"] = chartutil.Values{"Name": file, "BasePath": t.base}
	text, err := e.execute(file, t.scope)
	if err != nil {
		e.out.Failed[file] = asHelmSays(err)
	}
	if errors.Is(err, ErrRefused) {
		// The file may render more if required and fail do nothing.
		e.lenient = true
		if text, err = e.execute(file, t.scope); err != nil {
			e.out.Failed[file] = asHelmSays(err)
		}
		e.lenient = false
	}
	if err != nil { // the document that fails may end anywhere
		text = text[:max(0, strings.LastIndex(text, "\n---"))]
	}
	e.room -= len(text)
	e.out.Files[file] = strings.ReplaceAll(text, "<no value>", "")
}

// execute executes a file. If there is an error, the text is what was rendered before it.
func (e *engine) execute(file string, scope map[string]any) (text string, err error) {
	out := &boundedText{room: e.room}
	defer func() {
		if r := recover(); r != nil {
			text, err = out.text.String(), fmt.Errorf("rendering %s: %v", file, r)
		}
	}()
	err = e.root.ExecuteTemplate(out, file, scope)
	return out.text.String(), err
}

// boundedText is a text of at most room bytes.
type boundedText struct {
	text strings.Builder
	room int
}

func (b *boundedText) Write(p []byte) (int, error) {
	if b.text.Len()+len(p) > b.room {
		return 0, tooMuchRendered()
	}
	return b.text.Write(p)
}

func tooMuchRendered() error {
	return fmt.Errorf("%w: it renders more than %d bytes", ErrTooLarge, MaxBytes)
}

// refusal is the error of required or fail.
type refusal struct{ says string }

func (r *refusal) Error() string { return r.says }
func (r *refusal) Unwrap() error { return ErrRefused }

// errorAt matches the position in an error of text/template: template: file:line:column: ...
var errorAt = regexp.MustCompile(`^template: (.+?:\d+(?::\d+)?): `)

// place splits an error of text/template into its position and the rest.
func place(err error) (at, says string) {
	text := err.Error()
	m := errorAt.FindStringSubmatch(text)
	if m == nil {
		return "an unknown place", text
	}
	return m[1], text[len(m[0]):]
}

// asHelmSays returns the error that Helm would report. For a
// refusal, this leaves out the chain of templates that led to it.
func asHelmSays(err error) error {
	var refused *refusal
	switch {
	case errors.Is(err, ErrTooLarge):
		return tooMuchRendered()
	case errors.As(err, &refused):
		at, _ := place(err)
		return fmt.Errorf("%w: execution error at (%s): %w", ErrFailed, at, refused)
	}
	return fmt.Errorf("%w: %w", ErrFailed, err)
}

// scopedTemplate is a template file with the data for its execution.
type scopedTemplate struct {
	text, base string
	scope      map[string]any
}

// collectTemplates collects the templates of a chart and its dependencies, each with the values of its chart.
func collectTemplates(c *helmchart.Chart, to map[string]scopedTemplate, above chartutil.Values) map[string]any {
	below := map[string]any{}
	scope := map[string]any{
		"Chart": struct {
			helmchart.Metadata
			IsRoot bool
		}{*c.Metadata, c.IsRoot()},
		"Files": newTemplateFiles(c.Files), "Release": above["Release"], "Capabilities": above["Capabilities"],
		"Values": chartutil.Values{}, "Subcharts": below,
	}
	if c.IsRoot() {
		scope["Values"] = above["Values"]
	} else if values, err := above.Table("Values." + c.Name()); err == nil {
		scope["Values"] = values
	}
	for _, sub := range c.Dependencies() {
		below[sub.Name()] = collectTemplates(sub, to, scope)
	}
	library := strings.EqualFold(c.Metadata.Type, "library")
	at := c.ChartFullPath()
	for _, t := range c.Templates {
		if t == nil || library && !strings.HasPrefix(path.Base(t.Name), "_") {
			continue
		}
		to[path.Join(at, t.Name)] = scopedTemplate{string(t.Data), path.Join(at, "templates"), scope}
	}
	return scope
}

// templateOrder returns the files in the order in which Helm parses and executes them: the deepest first, so that if
// two definitions have the same name, the one of the chart above is used.
func templateOrder(templates map[string]scopedTemplate) []string {
	var files []string
	for file := range templates {
		files = append(files, file)
	}
	slices.SortFunc(files, func(a, b string) int {
		if by := strings.Count(b, "/") - strings.Count(a, "/"); by != 0 {
			return by
		}
		return strings.Compare(b, a)
	})
	return files
}

package main

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// prefix begins the name of every metric of nfo.
const prefix = "nfo_"

// metric is one metric as the sources declare it.
type metric struct {
	name, kind, help string
	// command is the program that shows it.
	command string
	labels  []string
}

// commands are the programs that have metrics, by the folder of their sources. The manager has the rest.
var commands = []struct{ folder, command string }{
	{"internal/agent", "nfo agent"}, {"internal/clusterregistry", "nfo registry"}, {"", "nfo manager"},
}

// findMetrics finds the metrics of all programs under root, sorted by program and name.
func findMetrics(root string) ([]metric, error) {
	var all []metric
	for _, top := range []string{"cmd", "internal"} {
		err := filepath.WalkDir(filepath.Join(root, top), func(folder string, d fs.DirEntry, err error) error {
			switch {
			case err != nil || !d.IsDir():
				return err
			case d.Name() == "testdata":
				return filepath.SkipDir
			}
			found, err := metricsUnder(root, folder)
			all = append(all, found...)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("finding metrics: %w", err)
		}
	}
	slices.SortFunc(all, func(a, b metric) int { return cmp.Or(cmp.Compare(a.command, b.command), cmp.Compare(a.name, b.name)) })
	return slices.CompactFunc(all, func(a, b metric) bool { return a.command == b.command && a.name == b.name }), nil
}

// metricsUnder finds the metrics of one folder under root, and says which program has them.
func metricsUnder(root, folder string) ([]metric, error) {
	relative, err := filepath.Rel(root, folder)
	if err != nil {
		return nil, err
	}
	found, err := metricsOf(folder)
	for i := range found {
		found[i].command = commandOf(filepath.ToSlash(relative))
	}
	return found, err
}

func commandOf(folder string) string {
	for _, c := range commands {
		if c.folder == "" || folder == c.folder || strings.HasPrefix(folder, c.folder+"/") {
			return c.command
		}
	}
	return ""
}

// metricsOf finds the metrics that the sources of one folder declare.
func metricsOf(folder string) ([]metric, error) {
	names, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil {
		return nil, err
	}
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	f := finder{makers: map[string][]string{}}
	for _, file := range files {
		ast.Inspect(file, f.maker)
	}
	for _, file := range files {
		ast.Inspect(file, f.call)
	}
	return f.found, nil
}

// finder collects the metrics of one package.
type finder struct {
	// makers are the functions that put the prefix before a name, with the labels that they add.
	makers map[string][]string
	found  []metric
}

// maker notes a function that makes metrics out of names without the prefix.
func (f *finder) maker(n ast.Node) bool {
	function, ok := n.(*ast.FuncDecl)
	if !ok {
		return true
	}
	ast.Inspect(function, func(n ast.Node) bool {
		if sum, ok := n.(*ast.BinaryExpr); ok && sum.Op == token.ADD && text(sum.X) == prefix {
			f.makers[function.Name.Name] = labels(function.Body)
		}
		return true
	})
	return false
}

// call notes the metric that a call declares.
func (f *finder) call(n ast.Node) bool {
	call, ok := n.(*ast.CallExpr)
	if !ok {
		return true
	}
	function := calledName(call)
	for i := range call.Args {
		name, help := f.declared(call, function, i)
		if !strings.HasPrefix(name, prefix) || help == "" {
			continue
		}
		m := metric{name: name, help: help, kind: kindOf(function, name), labels: slices.Clone(f.makers[function])}
		for _, other := range call.Args[i+1:] {
			if text(other) != help {
				m.labels = append(m.labels, labels(other)...)
			}
		}
		f.found = append(f.found, m)
	}
	return true
}

// declared are the name and the help of a metric: beside each other among the arguments of a call, or in options of
// the client library.
func (f *finder) declared(call *ast.CallExpr, function string, i int) (name, help string) {
	if options, ok := call.Args[i].(*ast.CompositeLit); ok {
		return field(options, "Name"), field(options, "Help")
	}
	if i+1 == len(call.Args) {
		return "", ""
	}
	name, help = text(call.Args[i]), text(call.Args[i+1])
	if _, made := f.makers[function]; made && i == 0 && name != "" {
		name = prefix + name
	}
	return name, help
}

// kindOf is the kind of a metric by the function that makes it or, of one that only describes it, by its name.
func kindOf(function, name string) string {
	for _, kind := range []string{"Counter", "Gauge", "Histogram", "Summary"} {
		if strings.Contains(function, kind) {
			return strings.ToLower(kind)
		}
	}
	switch {
	case strings.HasSuffix(name, "_total"):
		return "counter"
	case strings.HasSuffix(name, "_duration_seconds"):
		return "histogram"
	}
	return "gauge"
}

func calledName(call *ast.CallExpr) string {
	switch function := call.Fun.(type) {
	case *ast.Ident:
		return function.Name
	case *ast.SelectorExpr:
		return function.Sel.Name
	}
	return ""
}

// field is the text of one field of a composite literal.
func field(options *ast.CompositeLit, name string) string {
	for _, element := range options.Elts {
		if pair, ok := element.(*ast.KeyValueExpr); ok {
			if key, ok := pair.Key.(*ast.Ident); ok && key.Name == name {
				return text(pair.Value)
			}
		}
	}
	return ""
}

// labels are the texts in lists, or the text that an argument is.
func labels(n ast.Node) []string {
	if e, ok := n.(ast.Expr); ok && text(e) != "" {
		return []string{text(e)}
	}
	var all []string
	ast.Inspect(n, func(n ast.Node) bool {
		if list, ok := n.(*ast.CompositeLit); ok {
			for _, element := range list.Elts {
				if label := text(element); label != "" {
					all = append(all, label)
				}
			}
		}
		return true
	})
	return all
}

// text is the value of a literal text, or of a sum of such; of anything else it is empty.
func text(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if value, err := strconv.Unquote(e.Value); err == nil && e.Kind == token.STRING {
			return value
		}
	case *ast.BinaryExpr:
		if before, after := text(e.X), text(e.Y); before != "" && after != "" {
			return before + after
		}
	}
	return ""
}

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

// metric is one metric that the sources declare.
type metric struct {
	name, kind, help string
	// command is the program that exposes the metric.
	command string
	labels  []string
}

// commands are the programs with metrics, by the folder of their sources. Metrics in other folders are the manager's.
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

// metricsUnder finds the metrics of one folder under root, and sets their program.
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
	f := finder{constants: map[string]string{}, makers: map[string]maker{}}
	for _, file := range files {
		f.readConstants(file)
	}
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
	// constants are the package's string constants, by name.
	constants map[string]string
	// makers are the functions that make metrics, by name.
	makers map[string]maker
	found  []metric
}

// maker is a function that makes metrics.
type maker struct {
	// prefixed is set if the function puts the prefix before a name.
	prefixed bool
	// labels are the labels that the function adds.
	labels []string
}

// readConstants records the string constants that a file declares at package level.
func (f *finder) readConstants(file *ast.File) {
	for _, declaration := range file.Decls {
		group, ok := declaration.(*ast.GenDecl)
		if !ok || group.Tok != token.CONST {
			continue
		}
		for _, spec := range group.Specs {
			values := spec.(*ast.ValueSpec)
			for i, value := range values.Values {
				if s := f.text(value); s != "" {
					f.constants[values.Names[i].Name] = s
				}
			}
		}
	}
}

// maker records a function that makes metrics: one that puts the prefix before a name, or a closure with a name.
func (f *finder) maker(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.FuncDecl:
		if n.Body != nil && f.prefixes(n.Body) {
			f.makers[n.Name.Name] = maker{prefixed: true, labels: f.labels(n.Body)}
		}
	case *ast.AssignStmt:
		for i, value := range n.Rhs {
			closure, ok := value.(*ast.FuncLit)
			if !ok || i >= len(n.Lhs) {
				continue
			}
			if name, ok := n.Lhs[i].(*ast.Ident); ok {
				f.makers[name.Name] = maker{prefixed: f.prefixes(closure.Body), labels: f.labels(closure.Body)}
			}
		}
	}
	return true
}

// prefixes reports whether a function puts the prefix before a name.
func (f *finder) prefixes(body ast.Node) (does bool) {
	ast.Inspect(body, func(n ast.Node) bool {
		if sum, ok := n.(*ast.BinaryExpr); ok && sum.Op == token.ADD && f.text(sum.X) == prefix {
			does = true
		}
		return !does
	})
	return does
}

// call records the metric that a call declares.
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
		m := metric{name: name, help: help, kind: kindOf(function, name), labels: slices.Clone(f.makers[function].labels)}
		for _, other := range call.Args[i+1:] {
			if f.text(other) != help {
				m.labels = append(m.labels, f.labels(other)...)
			}
		}
		f.found = append(f.found, m)
	}
	return true
}

// declared returns the name and the help of a metric: two consecutive
// arguments of a call, or fields of the client library's options.
func (f *finder) declared(call *ast.CallExpr, function string, i int) (name, help string) {
	if options, ok := call.Args[i].(*ast.CompositeLit); ok {
		return f.field(options, "Name"), f.field(options, "Help")
	}
	if i+1 == len(call.Args) {
		return "", ""
	}
	name, help = f.text(call.Args[i]), f.text(call.Args[i+1])
	if f.makers[function].prefixed && i == 0 && name != "" {
		name = prefix + name
	}
	return name, help
}

// kindOf returns the kind of a metric, from the name of the function that makes it or else from the metric's name.
func kindOf(function, name string) string {
	function = strings.ToLower(function)
	for _, kind := range []string{"counter", "gauge", "histogram", "summary"} {
		if strings.Contains(function, kind) {
			return kind
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

// field returns the text of one field of a composite literal.
func (f *finder) field(options *ast.CompositeLit, name string) string {
	for _, element := range options.Elts {
		if pair, ok := element.(*ast.KeyValueExpr); ok {
			if key, ok := pair.Key.(*ast.Ident); ok && key.Name == name {
				return f.text(pair.Value)
			}
		}
	}
	return ""
}

// labels returns the text of an argument, or else the texts in the lists that it contains.
func (f *finder) labels(n ast.Node) []string {
	if e, ok := n.(ast.Expr); ok && f.text(e) != "" {
		return []string{f.text(e)}
	}
	var all []string
	ast.Inspect(n, func(n ast.Node) bool {
		if list, ok := n.(*ast.CompositeLit); ok {
			for _, element := range list.Elts {
				if label := f.text(element); label != "" {
					all = append(all, label)
				}
			}
		}
		return true
	})
	return all
}

// text returns the value of a string literal, a constant of the package, or a sum of these; "" for any other expression.
func (f *finder) text(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return f.constants[e.Name]
	case *ast.BasicLit:
		if value, err := strconv.Unquote(e.Value); err == nil && e.Kind == token.STRING {
			return value
		}
	case *ast.BinaryExpr:
		if before, after := f.text(e.X), f.text(e.Y); before != "" && after != "" {
			return before + after
		}
	}
	return ""
}

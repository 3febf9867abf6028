package v1alpha1

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// An annotation that is not in the list would be dropped before the operator reads it.
func TestAnnotationsAreAll(t *testing.T) {
	t.Parallel()
	file, err := parser.ParseFile(token.NewFileSet(), "conditions.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "Annotation") || spec.Names[0].Name == "Annotations" {
			return true
		}
		literal, ok := spec.Values[0].(*ast.BasicLit)
		if !ok {
			t.Fatalf("%s is not a literal", spec.Names[0].Name)
		}
		found++
		if name, _ := strconv.Unquote(literal.Value); !slices.Contains(Annotations, name) {
			t.Errorf("Annotations has no %s", spec.Names[0].Name)
		}
		return true
	})
	if found != len(Annotations) {
		t.Errorf("%d annotations are declared, and %d listed", found, len(Annotations))
	}
}

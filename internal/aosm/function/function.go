package function

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/nfo-operator/nfo/internal/aosm/arm"
	"github.com/nfo-operator/nfo/internal/aosm/document"
	"github.com/nfo-operator/nfo/internal/aosm/template"
)

// Function is a function of ARM's template language whose result follows from its arguments.
type Function struct {
	Least, Most int
	Call        func(s *template.Scope, at *document.Node, args []template.Value) (template.Value, error)
}

const many = 1000

// utcNow is a function whose result has a format that the template chooses.
const utcNow = "utcNow"

// All are the functions that an import evaluates, by folded name. init fills in the tables of the other files, too.
var All map[string]Function

// AtDeployment are the functions that only a deployment can evaluate, and whose result is not a text.
var AtDeployment = map[string]bool{
	"environment": true, "listkeys": true, "listcredential": true, "listaccountsas": true, "listsecrets": true, "providers": true,
	"pickzones": true, "managementgroup": true, "datetimeadd": true, "datetimefromepoch": true, "datetimetoepoch": true, "externalinput": true,
}

func init() {
	All = map[string]Function{
		"parameters": {1, 1, named((*template.Template).Parameter)}, "variables": {1, 1, named((*template.Template).Variable)},
		"true": {0, 0, constant(document.Boolean, "true")}, "false": {0, 0, constant(document.Boolean, "false")}, "null": {0, 0, constant(document.Null, "")},
		"not": {1, 1, not}, "copyindex": {0, 2, copyIndex}, "reference": {1, 3, reference}, "resourceinfo": {1, 1, resourceInfo},
		"resourceid": {2, many, idOf}, "extensionresourceid": {3, many, extensionID}, "subscriptionresourceid": {2, many, subscriptionID},
		"tenantresourceid": {2, many, tenantID}, "subscription": {0, 0, subscription}, "resourcegroup": {0, 0, resourceGroup},
		"deployment": {0, 0, deployment}, "tenant": {0, 0, tenant}, "deployer": {0, 0, deployer},
		"uniquestring": {1, many, unanswered("uniqueString")}, "guid": {1, many, unanswered("guid")}, "newguid": {0, 0, unanswered("newGuid")}, "utcnow": {0, 1, unanswered(utcNow)},
	}
	for _, more := range []map[string]Function{textFunctions, arrayFunctions, objectFunctions, numberFunctions} {
		for name, f := range more {
			All[name] = f
		}
	}
}

func named(look func(*template.Template, string) (template.Value, error)) func(*template.Scope, *document.Node, []template.Value) (template.Value, error) {
	return func(s *template.Scope, _ *document.Node, args []template.Value) (template.Value, error) {
		name, err := args[0].Word()
		if err != nil {
			return template.Value{}, err
		}
		return look(s.Template, name)
	}
}

func constant(k document.Kind, word string) func(*template.Scope, *document.Node, []template.Value) (template.Value, error) {
	return func(s *template.Scope, at *document.Node, _ []template.Value) (template.Value, error) {
		return s.Make(at, k, word)
	}
}

// unanswered returns a function whose result is a text that only a deployment knows.
func unanswered(name string) func(*template.Scope, *document.Node, []template.Value) (template.Value, error) {
	return func(s *template.Scope, at *document.Node, args []template.Value) (template.Value, error) {
		var b strings.Builder
		b.WriteString(name)
		for _, a := range args {
			b.WriteByte(',')
			if err := a.Render(&b); err != nil {
				return template.Value{}, err
			}
		}
		if err := s.Spend(1, b.Len()); err != nil {
			return template.Value{}, err
		}
		word, err := s.Unknowns.Of(b.String(), name == utcNow && len(args) > 0)
		if err != nil {
			return template.Value{}, err
		}
		return s.Make(at, document.Text, word)
	}
}

func not(s *template.Scope, at *document.Node, args []template.Value) (template.Value, error) {
	yes, err := args[0].Truth()
	if err != nil {
		return template.Value{}, err
	}
	return s.Make(at, document.Boolean, strconv.FormatBool(!yes))
}

// words returns the texts of all arguments.
func words(args []template.Value) ([]string, error) {
	all := make([]string, len(args))
	for i, a := range args {
		var err error
		if all[i], err = a.Word(); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// KnownWords returns the texts of all arguments, and fails if one depends on the deployment.
func KnownWords(args []template.Value) ([]string, error) {
	all, err := words(args)
	if err != nil {
		return nil, err
	}
	return all, arm.Known(all...)
}

func equals(s *template.Scope, at *document.Node, args []template.Value) (template.Value, error) {
	yes, err := template.Same(args[0], args[1])
	if err != nil {
		return template.Value{}, err
	}
	return s.Make(at, document.Boolean, strconv.FormatBool(yes))
}

// among returns the index of a value in a list, both as JSON; -1 if
// it is not in the list. It fails if that depends on the deployment.
func among(all []string, one string) (int, error) {
	i := slices.Index(all, one)
	if i >= 0 || one == "null" {
		return i, nil
	}
	return i, arm.Known(append([]string{one}, all...)...)
}

// allRendered returns the items of an array as JSON.
func allRendered(items []template.Value) ([]string, error) {
	all := make([]string, len(items))
	for i, item := range items {
		var err error
		if all[i], err = item.Rendered(); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func empty(s *template.Scope, at *document.Node, args []template.Value) (template.Value, error) {
	v := args[0]
	if v.Kind == document.Text && arm.IsFree(v.Text) { // only the deployment knows
		return template.Value{}, arm.Known(v.Text)
	}
	none := !v.There() || (v.Kind == document.Text && v.Text == "")
	if v.There() && (v.Kind == document.Array || v.Kind == document.Object) {
		none = v.Size() == 0
	}
	return s.Make(at, document.Boolean, strconv.FormatBool(none))
}

func length(s *template.Scope, at *document.Node, args []template.Value) (template.Value, error) {
	switch v := args[0]; {
	case v.Node == nil || v.Kind == document.Null || v.Kind == document.Number || v.Kind == document.Boolean:
		return template.Value{}, errors.New("length() takes a text, an array or an object")
	case v.Kind == document.Object:
		all, err := v.Members()
		if err != nil {
			return template.Value{}, err
		}
		return s.Number(at, len(all))
	case v.Kind == document.Array:
		return s.Number(at, v.Size())
	default:
		if err := arm.Known(v.Text); err != nil {
			return template.Value{}, err
		}
		return s.Number(at, utf8.RuneCountInString(v.Text))
	}
}

package function

import (
	"errors"

	"github.com/nfo-operator/nfo/internal/aosm/arm"
	"github.com/nfo-operator/nfo/internal/aosm/document"
	"github.com/nfo-operator/nfo/internal/aosm/template"
)

func asString(s *template.Scope, at *document.Node, args []template.Value) (template.Value, error) {
	if w, err := args[0].Word(); err == nil {
		return s.Make(at, document.Text, w)
	}
	w, err := args[0].Rendered()
	if err != nil {
		return template.Value{}, err
	}
	return s.Make(at, document.Text, w)
}

func asJSON(s *template.Scope, at *document.Node, args []template.Value) (template.Value, error) {
	w, err := args[0].Word()
	if err != nil {
		return template.Value{}, err
	}
	if err := arm.Apart(w, `"`); err != nil {
		return template.Value{}, err
	}
	documents, err := document.Parse([]byte(w))
	if err != nil || len(documents) != 1 {
		return template.Value{}, errors.New("the argument of json() is not JSON")
	}
	documents[0].Parent, documents[0].Key, documents[0].Index = at.Parent, at.Key, at.Index
	return template.Value{Node: documents[0], Scope: &template.Scope{Session: s.Session}}, s.Spend(1, len(w))
}

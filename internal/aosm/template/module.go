package template

import (
	"errors"
	"fmt"

	"github.com/nfo-operator/nfo/internal/aosm/arm"
	"github.com/nfo-operator/nfo/internal/aosm/document"
)

// Module is a deployment within a template: the template that it deploys,
// and the scope in which that template's expressions are evaluated.
type Module struct {
	name, symbol string
	// symbolic is set if the template's resources have symbolic names.
	symbolic bool
	Body     *document.Node
	Scope    *Scope
	// To has the subscription and resource group to which it deploys.
	To *Template
}

// ErrNotInInput is the error for a deployment whose template is not in the input.
var ErrNotInInput = errors.New("the template that it deploys is not in the input; import it, too")

// called returns the name that reference() takes: the symbolic name if the template has symbolic names, else the name.
func (m *Module) called() string {
	if m.symbolic {
		return m.symbol
	}
	return m.name
}

// NewModule reads a nested deployment. It deploys to the same subscription
// and resource group as the outer template, unless it has its own.
func NewModule(v Value, to *Template) (*Module, error) {
	p, err := v.Get("properties").Resolve()
	if err != nil {
		return nil, fmt.Errorf("what it deploys: %w", err)
	}
	inner := p.Get("template")
	if !inner.There() || inner.Kind != document.Object {
		return nil, ErrNotInInput
	}
	for _, known := range []string{"type", "apiVersion", "name"} {
		v.Get(known)
	}
	p.Get("mode").Close()
	options := p.Get("expressionEvaluationOptions")
	options.Close()
	t := NewTemplate(v.Scope.Session, inner.Node, givenIn(p.Get("parameters")))
	t.Subscription, t.Group = to.Subscription, to.Group
	for name, into := range map[string]*string{"subscriptionId": &t.Subscription, "resourceGroup": &t.Group} {
		m := v.Get(name)
		if !m.There() {
			continue
		}
		if m, err = m.Resolve(); err == nil {
			*into, err = m.Word()
		}
		if err != nil {
			return nil, fmt.Errorf("where it deploys to: %w", err)
		}
	}
	d := &Module{Body: inner.Node, To: t, Scope: v.Scope}
	if arm.Fold(options.Get("scope").AsText()) == "inner" { // by ARM's default, expressions have the outer template's scope
		d.Scope = &Scope{Session: v.Scope.Session, Template: t}
	}
	return d, nil
}

// givenIn returns the values that a nested deployment gives its template's parameters.
func givenIn(parameters Value) map[string]Value {
	given := map[string]Value{}
	parameters.Close()
	if parameters.Node == nil {
		return given
	}
	for _, m := range parameters.Node.Items {
		given[arm.Fold(m.Key)] = parameters.Of(m).Get("value")
		if m.Member("value") == nil && m.Member("reference") != nil {
			given[arm.Fold(m.Key)] = Value{Node: NewText(arm.VaultSecret), Scope: parameters.Scope}
		}
	}
	return given
}

// FindModule finds a deployment in the template by its id, symbolic name or name.
func (s *Scope) FindModule(word string) (*Module, error) {
	elsewhere := errors.New("what reference() says is known at deployment only; import what `az ... show` prints after the deployment")
	id, _, notID := arm.SplitID(word) // its name can have a part that only a deployment knows
	if notID == nil && id.Type() != arm.TypeDeployment {
		return nil, elsewhere
	}
	all, err := s.modulesOf()
	if err != nil {
		return nil, err
	}
	name := arm.Fold(word)
	if notID == nil {
		name = arm.Fold(id.Name())
	}
	if err := s.Spend(1+len(all)/8, 0); err != nil {
		return nil, err
	}
	var found *Module
	for _, m := range all {
		if (notID != nil && m.called() != name) || (notID == nil && (m.name != name || arm.Differ(m.To.Subscription, id.Subscription) || arm.Differ(m.To.Group, id.Group))) {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("the template has several deployments %q", arm.Clip(word))
		}
		found = m
	}
	if found == nil {
		return nil, elsewhere
	}
	return found, nil
}

// modulesOf returns the deployments of the template, which it reads once.
func (s *Scope) modulesOf() ([]*Module, error) {
	t := s.Template
	if t.modules != nil {
		return t.modules, nil
	}
	if t.busy["modules"] {
		return nil, errors.New("the name of a deployment refers to deployments")
	}
	t.busy["modules"] = true
	defer delete(t.busy, "modules")
	all := []*Module{}
	err := t.EachResource(func(symbol string, v Value) error {
		if typ, err := v.Get("type").Resolve(); err != nil || arm.Fold(typ.AsText()) != arm.TypeDeployment {
			return nil // reported where the resource is read
		}
		name, err := v.Get("name").Resolve()
		if err != nil {
			return nil
		}
		m, err := NewModule(v, t)
		if err != nil {
			return nil
		}
		m.name, m.symbol, m.symbolic = arm.Fold(name.AsText()), arm.Fold(symbol), t.resources.Kind == document.Object
		all = append(all, m)
		return v.Scope.Spend(10, 1000)
	})
	t.modules = all
	return all, err
}

// EachResource calls a function for each resource of a template,
// once for each iteration of its loop, with its symbolic name.
func (t *Template) EachResource(do func(symbol string, v Value) error) error {
	if t.resources.Node == nil {
		return nil
	}
	for _, n := range t.resources.Node.Items {
		if err := t.resources.Scope.Spend(1, 0); err != nil {
			return err
		}
		if err := eachTurn(n.Key, t.resources.Of(n), do); err != nil {
			return err
		}
	}
	return nil
}

// eachTurn calls a function for each iteration of a resource's loop.
func eachTurn(symbol string, v Value, do func(symbol string, v Value) error) error {
	turns := v.Get("copy")
	if !turns.There() {
		return do(symbol, v)
	}
	count, err := turns.Count()
	name, nameErr := turns.Get("name").Resolve()
	if err != nil || nameErr != nil {
		return nil // reported where the resource is read
	}
	for i := range count {
		if err := do(fmt.Sprintf("%s[%d]", symbol, i), Value{Node: v.Node, Scope: v.Scope.Turn(Loop{Name: name.AsText(), Index: i, Resource: true})}); err != nil {
			return err
		}
	}
	return nil
}

// Outputs returns an object of the outputs of a deployment, each with its value.
func (m *Module) Outputs(s *Scope, at *document.Node) (Value, error) {
	members, err := Value{Node: m.Body.Member("outputs"), Scope: m.Scope}.Members()
	if err != nil {
		return Value{}, err
	}
	var all []Field
	for _, o := range members {
		v := o.Value.Get("value")
		if c := o.Value.Get("copy"); v.Node == nil && c.There() {
			v = c.loop("")
		}
		made, err := s.MakeObject(at, []Field{{"value", v}})
		if err != nil {
			return Value{}, err
		}
		all = append(all, Field{o.Key, made})
	}
	return s.MakeObject(at, all)
}

// Identified returns the type, the name and the id of a resource of the template.
func (s *Scope) Identified(v Value) (typ, name string, id arm.ID, err error) {
	t, errType := v.Get("type").Resolve()
	n, errName := v.Get("name").Resolve()
	if err := errors.Join(errType, errName); err != nil {
		return "", "", id, err
	}
	id, err = arm.Identify(arm.ID{}, t.AsText(), n.AsText())
	id.Subscription, id.Group = s.Template.Subscription, s.Template.Group
	return t.AsText(), n.AsText(), id, err
}

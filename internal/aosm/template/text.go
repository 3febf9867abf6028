package template

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/nfo-operator/nfo/internal/aosm/arm"
	"github.com/nfo-operator/nfo/internal/aosm/document"
)

// AsText returns the content of a text, "" for any other value.
func (v Value) AsText() string {
	if v.Node == nil || v.Kind != document.Text {
		return ""
	}
	return v.Text
}

// Word returns the content of a text, a number or a boolean.
func (v Value) Word() (string, error) {
	if v.Node == nil || v.Kind == document.Null || v.Kind == document.Array || v.Kind == document.Object {
		return "", errors.New("a text is needed, and something else is there")
	}
	return v.Text, nil
}

// Truth returns the value of a boolean.
func (v Value) Truth() (bool, error) {
	if v.Node == nil || v.Kind != document.Boolean {
		return false, errors.New("a condition is neither true nor false")
	}
	return v.Text == "true", nil
}

// Charge counts the reading of a text against the bounds.
func (v Value) Charge() error {
	if v.Node == nil || v.Kind != document.Text {
		return nil
	}
	return v.Scope.Spend(len(v.Text)/64, 0)
}

// Numbered returns an item of an array by its index, evaluated.
func (v Value) Numbered(index string) (Value, error) {
	i, err := strconv.Atoi(index)
	item := v.Item(i)
	if err != nil || item.Node == nil {
		return Value{}, fmt.Errorf("no item %s", arm.Clip(index))
	}
	return item.Resolve()
}

// Integer returns the value of a number.
func (v Value) Integer() (int, error) {
	if v.Node == nil || v.Kind != document.Number {
		return 0, errors.New("a number is needed, and something else is there")
	}
	n, err := strconv.ParseInt(v.Text, 10, 64)
	if err != nil {
		return 0, errors.New("a whole number of 64 bits is needed, and something else is there")
	}
	return int(n), nil
}

// IsArray reports whether a value is an array.
func (v Value) IsArray() bool { return v.Node != nil && v.Kind == document.Array }

// as converts a given value to the type that the template declares: values other than texts can be given as JSON.
func (v Value) as(typ Value) (Value, error) {
	v, err := v.Resolve()
	if err != nil || v.Node == nil || v.Kind != document.Text || !typ.There() {
		return v, err
	}
	switch arm.Fold(typ.Text) {
	case "int", "bool", "array", "object", "secureobject":
	default:
		return v, nil
	}
	if err := arm.Known(v.Text); err != nil {
		return Value{}, err
	}
	documents, err := document.Parse([]byte(v.Text))
	if err != nil || len(documents) != 1 {
		return Value{}, fmt.Errorf("the value that a parameter is given is not of the type %s, written as JSON", arm.Clip(typ.Text))
	}
	documents[0].Key = "--parameters"
	return Value{Node: documents[0], Scope: &Scope{Session: v.Scope.Session}}, v.Scope.Spend(1, len(v.Text))
}

// Rendered returns a value as JSON.
func (v Value) Rendered() (string, error) {
	var b strings.Builder
	err := v.Render(&b)
	return b.String(), err
}

// Render writes a value as JSON, with every expression in it evaluated.
func (v Value) Render(b *strings.Builder) error {
	if !v.There() {
		b.WriteString("null")
		return nil
	}
	done, err := v.Scope.Deeper()
	if err != nil {
		return err
	}
	defer done()
	if v, err = v.Resolve(); err != nil {
		return err
	}
	switch {
	case !v.There():
		b.WriteString("null")
	case v.Kind == document.Array:
		b.WriteByte('[')
		for i, item := range v.Items() {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := item.Render(b); err != nil {
				return err
			}
		}
		b.WriteByte(']')
	case v.Kind == document.Object:
		return v.renderObject(b)
	case v.Kind == document.Text:
		return v.renderText(b, v.Text)
	default:
		b.WriteString(v.Text)
	}
	return v.Scope.Spend(1, len(v.Text))
}

func (v Value) renderObject(b *strings.Builder) error {
	members, err := v.Members()
	if err != nil {
		return err
	}
	b.WriteByte('{')
	for i, m := range members {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := v.renderText(b, m.Key); err != nil {
			return err
		}
		b.WriteByte(':')
		if err := m.Value.Render(b); err != nil {
			return err
		}
	}
	b.WriteByte('}')
	return v.Scope.Spend(1, 0)
}

func (v Value) renderText(b *strings.Builder, s string) error {
	quoted, err := json.Marshal(s)
	if err != nil {
		return err
	}
	b.Write(quoted)
	return v.Scope.Spend(1, len(quoted))
}

// Same reports whether two values are equal. It fails if that depends on the deployment.
func Same(a, b Value) (bool, error) {
	x, errA := a.Rendered()
	y, errB := b.Rendered()
	switch err := errors.Join(errA, errB); {
	case err != nil:
		return false, err
	case x == y:
		return true, nil
	case a.There() != b.There(): // a deployment's value is not null
		return false, nil
	case x == `""` || y == `""`:
		if other := strings.Trim(x+y, `"`); arm.IsFree(other) {
			return false, arm.Known(other)
		}
		return false, nil
	}
	return false, arm.Known(x, y)
}

// Needed returns a required member, evaluated, as a text.
func (v Value) Needed(name string) (string, error) {
	m, err := v.Get(name).Resolve()
	if err != nil {
		return "", err
	}
	if !m.There() {
		return "", fmt.Errorf("no %s", name)
	}
	word, err := m.Word()
	if err == nil {
		err = v.Scope.Spend(1+len(word)/64, 0)
	}
	return word, err
}

package aosm

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// text1 is the text of a text, "" of anything else.
func (v value) text1() string {
	if v.node == nil || v.kind != text {
		return ""
	}
	return v.text
}

// word is the text of a text, a number or a boolean.
func (v value) word() (string, error) {
	if v.node == nil || v.kind == null || v.kind == array || v.kind == object {
		return "", errors.New("a text is needed, and something else is there")
	}
	return v.text, nil
}

// truth is a boolean's value.
func (v value) truth() (bool, error) {
	if v.node == nil || v.kind != boolean {
		return false, errors.New("a condition is neither true nor false")
	}
	return v.text == "true", nil
}

// charge counts the reading of a text.
func (v value) charge() error {
	if v.node == nil || v.kind != text {
		return nil
	}
	return v.scope.spend(len(v.text)/64, 0)
}

// numbered is an item of an array by its number.
func (v value) numbered(index string) (value, error) {
	i, err := strconv.Atoi(index)
	item := v.item(i)
	if err != nil || item.node == nil {
		return value{}, fmt.Errorf("there is no item %s", clip(index))
	}
	return item.resolve()
}

// integer is the value of a number.
func (v value) integer() (int, error) {
	if v.node == nil || v.kind != number {
		return 0, errors.New("a number is needed, and something else is there")
	}
	n, err := strconv.ParseInt(v.text, 10, 64)
	if err != nil {
		return 0, errors.New("a whole number of 64 bits is needed, and something else is there")
	}
	return int(n), nil
}

// isArray reports whether a value is an array.
func (v value) isArray() bool { return v.node != nil && v.kind == array }

// as is a given value as the type that the template declares: what is not text can be given as JSON.
func (v value) as(typ value) (value, error) {
	v, err := v.resolve()
	if err != nil || v.node == nil || v.kind != text || !typ.there() {
		return v, err
	}
	switch fold(typ.text) {
	case "int", "bool", "array", "object", "secureobject":
	default:
		return v, nil
	}
	if err := known(v.text); err != nil {
		return value{}, err
	}
	documents, err := parse([]byte(v.text))
	if err != nil || len(documents) != 1 {
		return value{}, fmt.Errorf("the value that a parameter is given is no %s, written as JSON", clip(typ.text))
	}
	documents[0].key = "--parameters"
	return value{node: documents[0], scope: &scope{session: v.scope.session}}, v.scope.spend(1, len(v.text))
}

// rendered is a value as JSON.
func (v value) rendered() (string, error) {
	var b strings.Builder
	err := v.render(&b)
	return b.String(), err
}

// render writes a value as JSON, with every expression in it evaluated.
func (v value) render(b *strings.Builder) error {
	if !v.there() {
		b.WriteString("null")
		return nil
	}
	done, err := v.scope.deeper()
	if err != nil {
		return err
	}
	defer done()
	if v, err = v.resolve(); err != nil {
		return err
	}
	switch {
	case !v.there():
		b.WriteString("null")
	case v.kind == array:
		b.WriteByte('[')
		for i, item := range v.items() {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := item.render(b); err != nil {
				return err
			}
		}
		b.WriteByte(']')
	case v.kind == object:
		return v.renderObject(b)
	case v.kind == text:
		return v.renderText(b, v.text)
	default:
		b.WriteString(v.text)
	}
	return v.scope.spend(1, len(v.text))
}

func (v value) renderObject(b *strings.Builder) error {
	members, err := v.members()
	if err != nil {
		return err
	}
	b.WriteByte('{')
	for i, m := range members {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := v.renderText(b, m.key); err != nil {
			return err
		}
		b.WriteByte(':')
		if err := m.value.render(b); err != nil {
			return err
		}
	}
	b.WriteByte('}')
	return v.scope.spend(1, 0)
}

func (v value) renderText(b *strings.Builder, s string) error {
	quoted, err := json.Marshal(s)
	if err != nil {
		return err
	}
	b.Write(quoted)
	return v.scope.spend(1, len(quoted))
}

// same reports whether two values are equal, which what only a deployment knows is with itself alone.
func same(a, b value) (bool, error) {
	x, errA := a.rendered()
	y, errB := b.rendered()
	switch err := errors.Join(errA, errB); {
	case err != nil:
		return false, err
	case x == y:
		return true, nil
	case a.there() != b.there() || x == `""` || y == `""`: // what a deployment knows is neither null nor empty
		return false, nil
	}
	return false, known(x, y)
}

// needed is a member that has to be a text, evaluated.
func (v value) needed(name string) (string, error) {
	m, err := v.get(name).resolve()
	if err != nil {
		return "", err
	}
	if !m.there() {
		return "", fmt.Errorf("there is no %s", name)
	}
	word, err := m.word()
	if err == nil {
		err = v.scope.spend(1+len(word)/64, 0)
	}
	return word, err
}

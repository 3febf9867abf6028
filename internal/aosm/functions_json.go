package aosm

import (
	"encoding/json"
	"errors"
	"strings"
)

func asString(s *scope, at *node, args []value) (value, error) {
	if w, err := args[0].word(); err == nil {
		return s.make(at, text, w)
	}
	w, err := args[0].rendered()
	if err != nil {
		return value{}, err
	}
	return s.make(at, text, w)
}

func asJSON(s *scope, at *node, args []value) (value, error) {
	w, err := args[0].word()
	if err != nil {
		return value{}, err
	}
	documents, err := parse([]byte(w))
	if err != nil || len(documents) != 1 {
		return value{}, errors.New("the argument of json() is not JSON")
	}
	documents[0].parent, documents[0].key, documents[0].index = at.parent, at.key, at.index
	return value{node: documents[0], scope: &scope{session: s.session}}, s.spend(1, len(w))
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

package aosm

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

func concat(s *scope, at *node, args []value) (value, error) {
	if args[0].node != nil && args[0].kind == array {
		var all []value
		for _, a := range args {
			if a.node == nil || a.kind != array {
				return value{}, errors.New("concat() joins arrays with arrays alone")
			}
			if err := s.spend(a.size(), 100*a.size()); err != nil { // before it is made
				return value{}, err
			}
			all = append(all, a.items()...)
		}
		return s.makeArray(at, all)
	}
	all, err := words(args)
	if err != nil {
		return value{}, err
	}
	size := 0
	for _, w := range all {
		size += len(w)
	}
	if err := s.spend(0, size); err != nil { // before it is made
		return value{}, err
	}
	return s.make(at, text, strings.Join(all, ""))
}

var placeholder = regexp.MustCompile(`\{\{|\}\}|\{[^{}]*\}`)

func format(s *scope, at *node, args []value) (value, error) {
	all, err := words(args)
	if err != nil {
		return value{}, err
	}
	var b strings.Builder
	rest := all[0]
	for {
		at := placeholder.FindStringIndex(rest)
		if at == nil {
			break
		}
		b.WriteString(rest[:at[0]])
		inner := rest[at[0]:at[1]]
		rest = rest[at[1]:]
		if inner == "{{" || inner == "}}" {
			b.WriteByte(inner[0])
			continue
		}
		i, err := strconv.Atoi(strings.Trim(inner, "{}"))
		if err != nil || i < 0 || i+1 >= len(all) {
			return value{}, fmt.Errorf("format() has a placeholder %q that is not understood", clip(inner))
		}
		if err := s.spend(1, len(all[i+1])); err != nil {
			return value{}, err
		}
		b.WriteString(all[i+1])
	}
	b.WriteString(rest)
	return s.make(at, text, b.String())
}

func replace(s *scope, at *node, args []value) (value, error) {
	all, err := words(args)
	if err != nil || all[1] == "" {
		return value{}, errors.Join(err, errors.New("replace() takes a text, what to replace, and what by"))
	}
	if err := s.spend(0, strings.Count(all[0], all[1])*len(all[2])); err != nil {
		return value{}, err
	}
	return s.make(at, text, strings.ReplaceAll(all[0], all[1], all[2]))
}

func asString(s *scope, at *node, args []value) (value, error) {
	if w, err := args[0].word(); err == nil {
		return s.make(at, text, w)
	}
	var b strings.Builder
	if err := args[0].render(&b); err != nil {
		return value{}, err
	}
	return s.make(at, text, b.String())
}

func asJSON(s *scope, at *node, args []value) (value, error) {
	w, err := args[0].word()
	if err != nil {
		return value{}, err
	}
	documents, err := parse([]byte(w))
	if err != nil || len(documents) != 1 {
		return value{}, errors.New("the argument of json() is no JSON")
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
	s := v.scope
	if s.chain++; s.chain > maxChain {
		return fmt.Errorf("it refers to more than %d others in turn", maxChain)
	}
	defer func() { s.chain-- }()
	v, err := v.resolve()
	if err != nil {
		return err
	}
	switch v.kind {
	case array:
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
	case object:
		return v.renderObject(b)
	case text:
		return v.renderText(b, v.text)
	case null:
		b.WriteString("null")
	default:
		b.WriteString(v.text)
	}
	return v.scope.spend(1, len(v.text))
}

func (v value) renderObject(b *strings.Builder) error {
	b.WriteByte('{')
	for i, m := range v.node.items {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := v.renderText(b, m.key); err != nil {
			return err
		}
		b.WriteByte(':')
		if err := (value{node: m, scope: v.scope}).render(b); err != nil {
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

package expression

import (
	"errors"
	"fmt"
	"strings"

	"github.com/nfo-operator/nfo/internal/aosm/arm"
	"github.com/nfo-operator/nfo/internal/aosm/document"
)

const (
	maxExpression = 24576 // bytes, which is ARM's own bound
	maxNesting    = 64
)

// term is one step of an expression.
type term struct {
	kind document.Kind // text, number, or object for a call
	text string        // the literal, or the function's folded name
	args []*term
	// of, unless nil, is the term of which this one takes a member (text) or an item (args[0]).
	of *term
}

type scanner struct {
	rest  string
	depth int
}

// parseExpression parses the text between the brackets.
func parseExpression(s string) (*term, error) {
	if len(s) > maxExpression {
		return nil, fmt.Errorf("the expression has more than %d bytes", maxExpression)
	}
	sc := &scanner{rest: s}
	t, err := sc.term()
	if err != nil {
		return nil, err
	}
	if sc.skip(); sc.rest != "" {
		return nil, fmt.Errorf("the expression goes on with %q, where it should end", arm.Clip(sc.rest))
	}
	return t, nil
}

func (s *scanner) skip() { s.rest = strings.TrimLeft(s.rest, " \t\r\n") }

// take consumes a character if it is the next one.
func (s *scanner) take(c byte) bool {
	s.skip()
	if s.rest == "" || s.rest[0] != c {
		return false
	}
	s.rest = s.rest[1:]
	return true
}

func (s *scanner) term() (*term, error) {
	if s.depth++; s.depth > maxNesting {
		return nil, fmt.Errorf("the expression nests more than %d deep", maxNesting)
	}
	defer func() { s.depth-- }()
	t, err := s.primary()
	for links := 0; err == nil; links++ {
		switch {
		case links > maxNesting:
			return nil, fmt.Errorf("the expression takes more than %d members of members", maxNesting)
		case s.take('.'):
			name := s.word()
			if name == "" {
				return nil, errors.New("a member's name is missing after the dot")
			}
			t = &term{kind: document.Object, text: name, of: t}
		case s.take('['):
			var index *term
			if index, err = s.term(); err == nil && !s.take(']') {
				return nil, errors.New("a closing ] is missing")
			}
			t = &term{kind: document.Object, args: []*term{index}, of: t}
		default:
			return t, nil
		}
	}
	return nil, err
}

func (s *scanner) primary() (*term, error) {
	s.skip()
	if s.take('\'') {
		return s.quoted()
	}
	sign := ""
	if s.take('-') {
		sign = "-"
	}
	word := s.word()
	if word == "" {
		return nil, fmt.Errorf("a value is missing before %q", arm.Clip(s.rest))
	}
	if strings.Trim(word, "0123456789") == "" {
		return &term{kind: document.Number, text: sign + word}, nil
	}
	if s.take('.') { // a function that the template declares, with its namespace
		word += "." + s.word()
	}
	if sign != "" || !s.take('(') {
		return nil, fmt.Errorf("%q is neither a value nor a function", arm.Clip(word))
	}
	t := &term{kind: document.Object, text: arm.Fold(word)}
	if s.take(')') {
		return t, nil
	}
	for {
		arg, err := s.term()
		if err != nil {
			return nil, err
		}
		t.args = append(t.args, arg)
		if s.take(')') {
			return t, nil
		}
		if !s.take(',') {
			return nil, fmt.Errorf("a comma or a closing ) is missing after an argument of %s", arm.Clip(word))
		}
	}
}

// quoted reads a text in which each quote is written twice.
func (s *scanner) quoted() (*term, error) {
	var b strings.Builder
	for {
		part, rest, ok := strings.Cut(s.rest, "'")
		if !ok {
			return nil, errors.New("a closing quote is missing")
		}
		b.WriteString(part)
		if s.rest = rest; !strings.HasPrefix(rest, "'") {
			return &term{kind: document.Text, text: b.String()}, nil
		}
		b.WriteByte('\'')
		s.rest = rest[1:]
	}
}

// word reads a name or a number.
func (s *scanner) word() string {
	s.skip()
	end := strings.IndexFunc(s.rest, func(r rune) bool {
		return r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	})
	if end < 0 {
		end = len(s.rest)
	}
	word := s.rest[:end]
	s.rest = s.rest[end:]
	return word
}

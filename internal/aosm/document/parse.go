package document

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/nfo-operator/nfo/internal/aosm/arm"
)

// The bounds of an input. AOSM's own templates and answers are far below them.
const (
	// MaxBytes is the maximum size of a file, in bytes.
	MaxBytes = 64 << 20
	// MaxDepth is the maximum nesting of values.
	MaxDepth = 100
	// MaxValues is the maximum number of values of an input, with every member and item counted.
	MaxValues = 1_000_000
)

// ErrInput is wrapped by the error for an input that cannot be used
// as a whole: it is not JSON, has a member twice, or exceeds a bound.
var ErrInput = errors.New("the input cannot be used")

// Read reads a whole file of at most MaxBytes.
func Read(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxBytes+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading the input: %w", err)
	case len(data) > MaxBytes:
		return nil, fmt.Errorf("%w: it has more than %d bytes; import its resources in parts", ErrInput, MaxBytes)
	}
	return data, nil
}

// Parse parses JSON documents, one after the other. Errors wrap ErrInput and have the position.
func Parse(data []byte) ([]*Node, error) {
	values := 0
	return ParseNamed("", data, &values)
}

// ParseNamed parses the documents of a file, whose name begins the paths, and adds to the number of values.
func ParseNamed(name string, data []byte, values *int) ([]*Node, error) {
	if name != "" {
		name += ": "
	}
	p := newPlain(data)
	r := reader{json: json.NewDecoder(bytes.NewReader(p.data)), plain: p, values: values}
	r.json.UseNumber()
	var documents []*Node
	for {
		token, err := r.json.Token()
		if errors.Is(err, io.EOF) {
			return documents, nil
		}
		root := &Node{Key: name + "$"}
		if len(documents) > 0 {
			root.Key = fmt.Sprintf("%sdocument %d: $", name, len(documents)+1)
		}
		if err != nil {
			return nil, r.fail(root, err)
		}
		if err := r.fill(root, token, 0); err != nil {
			return nil, err
		}
		documents = append(documents, root)
	}
}

type reader struct {
	json   *json.Decoder
	plain  plain
	values *int // shared by all files of an import
}

func (r *reader) fail(n *Node, err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("%w: at %s, before byte %d: %w", ErrInput, n.Path(), r.plain.offset(r.json.InputOffset()), err)
}

// fill parses the value that begins with a token.
func (r *reader) fill(n *Node, token json.Token, depth int) error {
	if *r.values++; *r.values > MaxValues {
		return fmt.Errorf("%w: at %s: it has more than %d values; import its resources in parts", ErrInput, n.Path(), MaxValues)
	}
	switch t := token.(type) {
	case json.Delim:
		if depth == MaxDepth {
			return fmt.Errorf("%w: at %s: values lie more than %d deep in each other", ErrInput, n.Path(), MaxDepth)
		}
		if t == '[' {
			n.Kind = Array
			return r.fillArray(n, depth+1)
		}
		n.Kind = Object
		return r.fillObject(n, depth+1)
	case string:
		n.Kind, n.Text = Text, t
	case json.Number:
		n.Kind, n.Text = Number, t.String()
	case bool:
		n.Kind, n.Text = Boolean, fmt.Sprint(t)
	}
	return nil
}

func (r *reader) fillArray(n *Node, depth int) error {
	for {
		token, err := r.json.Token()
		if err != nil {
			return r.fail(n, err)
		}
		if token == json.Delim(']') {
			return nil
		}
		item := &Node{Parent: n, Index: len(n.Items)}
		n.Items = append(n.Items, item)
		if err := r.fill(item, token, depth); err != nil {
			return err
		}
	}
}

func (r *reader) fillObject(n *Node, depth int) error {
	seen := map[string]*Node{}
	for {
		token, err := r.json.Token()
		if err != nil {
			return r.fail(n, err)
		}
		if token == json.Delim('}') {
			break
		}
		m := &Node{Parent: n}
		m.Key, _ = token.(string) // the decoder accepts only a string as a key
		if first := seen[arm.Fold(m.Key)]; first == nil {
			seen[arm.Fold(m.Key)] = m
		} else if first.Key == m.Key {
			return fmt.Errorf("%w: %s is there twice", ErrInput, m.Path())
		} else {
			first.Twin = true
		}
		n.Items = append(n.Items, m)
		if token, err = r.json.Token(); err != nil {
			return r.fail(m, err)
		}
		if err := r.fill(m, token, depth); err != nil {
			return err
		}
	}
	if len(n.Items) > manyMembers {
		n.folded = seen
	}
	return nil
}

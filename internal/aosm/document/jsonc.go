package document

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/nfo-operator/nfo/internal/aosm/arm"
)

// CheckText returns an error for text that other programs write instead of JSON, with how to avoid it.
func CheckText(data []byte) error {
	switch {
	case bytes.HasPrefix(data, []byte("\xff\xfe")), bytes.HasPrefix(data, []byte("\xfe\xff")):
		return fmt.Errorf("%w: it is UTF-16, as PowerShell writes it; save it as UTF-8", ErrInput)
	case bytes.Contains(data, []byte("\x1b[")):
		return fmt.Errorf("%w: it has colour codes for a terminal, as az writes them with --output jsonc; write it with --output json, or run `az config set core.no_color=true` first", ErrInput)
	}
	rest := bytes.TrimLeft(bytes.TrimPrefix(data, bom), " \t\r\n")
	if len(rest) > 0 && !bytes.ContainsRune([]byte(`{["-/0123456789tfn`), rune(rest[0])) && !bytes.HasPrefix(rest, bom) {
		return fmt.Errorf("%w: it is not JSON: it begins with %q; write what az prints with --output json, without warnings in it (2>/dev/null), and compile Bicep with `az bicep build`", ErrInput, arm.Clip(string(rest[:min(20, len(rest))])))
	}
	return nil
}

var bom = []byte("\xef\xbb\xbf")

// plain is ARM's JSON turned into plain JSON: comments become spaces, and line breaks and tabs in texts are escaped.
type plain struct {
	data []byte
	// grown are the positions of the bytes in data that the original does not have.
	grown []int
}

// offset returns the position in the original of a position in data.
func (p plain) offset(at int64) int64 {
	n, _ := slices.BinarySearch(p.grown, int(at))
	return at - int64(n)
}

var escapes = map[byte]byte{'\n': 'n', '\r': 'r', '\t': 't'}

func newPlain(data []byte) plain {
	if !bytes.Contains(data, bom) && !bytes.ContainsAny(data, "/\n\r\t") {
		return plain{data: data}
	}
	p := plain{data: make([]byte, 0, len(data)+64)}
	for i := 0; i < len(data); {
		switch n := blank(data[i:]); {
		case n > 0:
			p.data = append(p.data, bytes.Repeat([]byte(" "), n)...)
			i += n
		case data[i] == '"':
			i += p.text(data[i:])
		default:
			p.data = append(p.data, data[i])
			i++
		}
	}
	return p
}

// blank returns the length of the comment or byte order mark at the start of data; 0 if there is none.
func blank(data []byte) int {
	end := []byte("\n")
	switch {
	case bytes.HasPrefix(data, bom):
		return len(bom)
	case bytes.HasPrefix(data, []byte("/*")):
		end = []byte("*/")
	case !bytes.HasPrefix(data, []byte("//")):
		return 0
	}
	if n := bytes.Index(data[2:], end); n >= 0 {
		return 2 + n + len(end)
	}
	if end[0] == '\n' { // a comment at the end of the file
		return len(data)
	}
	return 0
}

// text copies the text at the start of data, and returns its length in data.
func (p *plain) text(data []byte) int {
	p.data = append(p.data, '"')
	for i := 1; i < len(data); i++ {
		c := data[i]
		escaped, escape := escapes[c]
		switch {
		case escape:
			p.data = append(p.data, '\\', escaped)
			p.grown = append(p.grown, len(p.data)-1)
			continue
		case c == '\\' && i+1 < len(data) && escapes[data[i+1]] == 0:
			p.data = append(p.data, c, data[i+1])
			i++
			continue
		}
		if p.data = append(p.data, c); c == '"' {
			return i + 1
		}
	}
	return len(data)
}

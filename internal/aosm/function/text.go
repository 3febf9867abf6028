package function

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/nfo-operator/nfo/internal/aosm/arm"
	"github.com/nfo-operator/nfo/internal/aosm/document"
	"github.com/nfo-operator/nfo/internal/aosm/template"
)

var textFunctions = map[string]Function{
	"concat": {1, many, concat}, "format": {1, many, format}, "replace": {3, 3, replace}, "split": {2, 2, split}, "join": {2, 2, join},
	"tolower": {1, 1, cased("toLower", strings.ToLower)}, "toupper": {1, 1, cased("toUpper", strings.ToUpper)}, "trim": {1, 1, trim},
	"substring": {2, 3, substring}, "padleft": {2, 3, padLeft}, "startswith": {2, 2, fits(strings.HasPrefix)}, "endswith": {2, 2, fits(strings.HasSuffix)},
	"base64": {1, 1, encoded(encode64)}, "base64tostring": {1, 1, encoded(decode64)}, "uricomponent": {1, 1, encoded(encodeURI)}, "uricomponenttostring": {1, 1, encoded(url.PathUnescape)},
	"base64tojson": {1, 1, base64ToJSON},
}

// cased returns a function that changes a text character by character. The
// result for a part that depends on the deployment depends on it, too.
func cased(name string, change func(string) string) func(*template.Scope, *document.Node, []template.Value) (template.Value, error) {
	return func(s *template.Scope, at *document.Node, args []template.Value) (template.Value, error) {
		w, err := args[0].Word()
		if err != nil {
			return template.Value{}, err
		}
		known, unknown := arm.Parts(w)
		for i, u := range unknown {
			if unknown[i], err = s.Unknowns.Of(name+","+u, arm.IsFree(u)); err != nil {
				return template.Value{}, err
			}
		}
		return woven(s, at, known, unknown, change)
	}
}

// woven joins known parts, changed, and the unknown parts between them.
func woven(s *template.Scope, at *document.Node, known, unknown []string, change func(string) string) (template.Value, error) {
	all := make([]string, 0, 2*len(known))
	for i, k := range known {
		all = append(all, change(k))
		if i < len(unknown) {
			all = append(all, unknown[i])
		}
	}
	return joined(s, at, all, "")
}

func trim(s *template.Scope, at *document.Node, args []template.Value) (template.Value, error) {
	w, err := args[0].Word()
	if err != nil {
		return template.Value{}, err
	}
	if err := arm.Apart(w, " "); err != nil {
		return template.Value{}, err
	}
	return s.Make(at, document.Text, strings.TrimSpace(w))
}

// encoded returns a function that changes a text, and fails if the text depends on the deployment.
func encoded(change func(string) (string, error)) func(*template.Scope, *document.Node, []template.Value) (template.Value, error) {
	return func(s *template.Scope, at *document.Node, args []template.Value) (template.Value, error) {
		all, err := KnownWords(args)
		if err != nil {
			return template.Value{}, err
		}
		out, err := change(all[0])
		if err != nil || !utf8.ValidString(out) {
			return template.Value{}, errors.New("a text cannot be decoded")
		}
		return s.Make(at, document.Text, out)
	}
}

func encode64(s string) (string, error) { return base64.StdEncoding.EncodeToString([]byte(s)), nil }

func decode64(s string) (string, error) {
	out, err := base64.StdEncoding.DecodeString(s)
	return string(out), err
}

func encodeURI(s string) (string, error) {
	return strings.ReplaceAll(url.QueryEscape(s), "+", "%20"), nil
}

func base64ToJSON(s *template.Scope, at *document.Node, args []template.Value) (template.Value, error) {
	out, err := encoded(decode64)(s, at, args)
	if err != nil {
		return template.Value{}, err
	}
	return asJSON(s, at, []template.Value{out})
}

func fits(judge func(s, part string) bool) func(*template.Scope, *document.Node, []template.Value) (template.Value, error) {
	return func(s *template.Scope, at *document.Node, args []template.Value) (template.Value, error) {
		all, err := KnownWords(args)
		if err != nil {
			return template.Value{}, err
		}
		return s.Make(at, document.Boolean, strconv.FormatBool(judge(arm.Fold(all[0]), arm.Fold(all[1]))))
	}
}

func concat(s *template.Scope, at *document.Node, args []template.Value) (template.Value, error) {
	if args[0].IsArray() {
		var all []template.Value
		for _, a := range args {
			if !a.IsArray() {
				return template.Value{}, errors.New("concat() joins arrays with arrays alone")
			}
			if err := s.Spend(a.Size(), 100*a.Size()); err != nil { // before it is made
				return template.Value{}, err
			}
			all = append(all, a.Items()...)
		}
		return s.MakeArray(at, all)
	}
	all, err := words(args)
	if err != nil {
		return template.Value{}, err
	}
	return joined(s, at, all, "")
}

// joined joins texts within the bounds of the session.
func joined(s *template.Scope, at *document.Node, all []string, between string) (template.Value, error) {
	size := len(all) * len(between)
	for _, w := range all {
		size += len(w)
	}
	if err := s.Spend(0, size); err != nil { // before it is made
		return template.Value{}, err
	}
	return s.Make(at, document.Text, strings.Join(all, between))
}

func join(s *template.Scope, at *document.Node, args []template.Value) (template.Value, error) {
	between, err := args[1].Word()
	if err != nil {
		return template.Value{}, err
	}
	if !args[0].IsArray() {
		return template.Value{}, errors.New("join() takes an array and a text")
	}
	var all []string
	for _, item := range args[0].Items() {
		v, err := item.Resolve()
		if err != nil {
			return template.Value{}, err
		}
		w, err := v.Word()
		if err != nil {
			return template.Value{}, err
		}
		all = append(all, w)
	}
	return joined(s, at, all, between)
}

// split implements split(text, delimiter) and split(text, array of delimiters). It fails
// if the deployment decides where a delimiter is: no part of an id contains a slash, but a secret can.
func split(s *template.Scope, at *document.Node, args []template.Value) (template.Value, error) {
	in, err := args[0].Word()
	if err != nil {
		return template.Value{}, err
	}
	delimiters := []template.Value{args[1]}
	if args[1].IsArray() {
		delimiters = args[1].Items()
	}
	parts := []string{in}
	for _, d := range delimiters {
		d, err := d.Resolve()
		if err != nil {
			return template.Value{}, err
		}
		w, err := d.Word()
		if err != nil || w == "" {
			return template.Value{}, errors.New("split() needs a delimiter")
		}
		if parts, err = cut(s, parts, w); err != nil {
			return template.Value{}, err
		}
	}
	all := make([]template.Value, len(parts))
	for i, p := range parts {
		if all[i], err = s.Make(at, document.Text, p); err != nil {
			return template.Value{}, err
		}
	}
	return s.MakeArray(at, all)
}

// cut splits each of several texts.
func cut(s *template.Scope, parts []string, by string) ([]string, error) {
	var all []string
	for _, p := range parts {
		if err := errors.Join(arm.Known(by), arm.Apart(p, by)); err != nil {
			return nil, err
		}
		n := strings.Count(p, by) + 1
		if err := s.Spend(n, 100*n); err != nil {
			return nil, err
		}
		all = append(all, strings.Split(p, by)...)
	}
	return all, nil
}

func substring(s *template.Scope, at *document.Node, args []template.Value) (template.Value, error) {
	all, err := KnownWords(args)
	if err != nil {
		return template.Value{}, err
	}
	runes := []rune(all[0])
	start, err := args[1].Integer()
	if err != nil {
		return template.Value{}, err
	}
	size := len(runes) - start
	if len(args) == 3 {
		if size, err = args[2].Integer(); err != nil {
			return template.Value{}, err
		}
	}
	if start < 0 || size < 0 || start > len(runes) || size > len(runes)-start {
		return template.Value{}, errors.New("substring() goes beyond the text")
	}
	return s.Make(at, document.Text, string(runes[start:start+size]))
}

// padLeft implements padLeft(text, length[, character]).
func padLeft(s *template.Scope, at *document.Node, args []template.Value) (template.Value, error) {
	all, err := KnownWords(args)
	if err != nil {
		return template.Value{}, err
	}
	with := " "
	if len(args) == 3 {
		with = all[2]
	}
	n, err := args[1].Integer()
	if err != nil || n < 0 || n > 1000 || len([]rune(with)) != 1 {
		return template.Value{}, errors.Join(err, errors.New("padLeft() takes a text, a length of at most 1000, and one character"))
	}
	return s.Make(at, document.Text, strings.Repeat(with, max(0, n-len([]rune(all[0]))))+all[0])
}

var placeholder = regexp.MustCompile(`\{\{|\}\}|\{[^{}]*\}`)

func format(s *template.Scope, at *document.Node, args []template.Value) (template.Value, error) {
	all, err := formatted(args)
	if err != nil {
		return template.Value{}, err
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
			return template.Value{}, fmt.Errorf("format() has a placeholder %q that is not understood", arm.Clip(inner))
		}
		if err := s.Spend(1, len(all[i+1])); err != nil {
			return template.Value{}, err
		}
		b.WriteString(all[i+1])
	}
	b.WriteString(rest)
	return s.Make(at, document.Text, b.String())
}

// formatted returns the arguments of format(). An array or object is written as JSON.
func formatted(args []template.Value) ([]string, error) {
	all := make([]string, len(args))
	for i, a := range args {
		var err error
		if all[i], err = a.Word(); err == nil {
			continue
		}
		if i == 0 {
			return nil, err
		}
		if !a.There() { // formatted as "", as in .NET
			continue
		}
		if all[i], err = a.Rendered(); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// replace implements replace(text, old, new). Where the deployment decides whether a part of the text contains
// old, the result for that part depends on the deployment, too. It fails if old may be partly in such a part.
func replace(s *template.Scope, at *document.Node, args []template.Value) (template.Value, error) {
	all, err := words(args)
	if err != nil || all[1] == "" {
		return template.Value{}, errors.Join(err, errors.New("replace() takes a text, what to replace, and what by"))
	}
	in, old, by := all[0], all[1], all[2]
	if err := arm.Known(old); err != nil {
		return template.Value{}, err
	}
	if err := s.Spend(0, strings.Count(in, old)*len(by)); err != nil {
		return template.Value{}, err
	}
	undecided := arm.Apart(in, old)
	if undecided == nil || old == by {
		return s.Make(at, document.Text, strings.ReplaceAll(in, old, by))
	}
	known, unknown := arm.Parts(in)
	if err := s.Spend(len(known), len(known)*len(old)*len(old)); err != nil {
		return template.Value{}, err
	}
	if straddles(known, old) {
		return template.Value{}, undecided
	}
	for i, u := range unknown {
		if unknown[i], err = s.Unknowns.Of(strings.Join([]string{"replace", u, strconv.Quote(old), strconv.Quote(by)}, ","), arm.IsFree(u) || !arm.IsName(by)); err != nil {
			return template.Value{}, err
		}
	}
	return woven(s, at, known, unknown, func(k string) string { return strings.ReplaceAll(k, old, by) })
}

// straddles reports whether an occurrence of old can begin or end in one of the unknown parts
// between known parts, and go beyond it. Unknown parts are taken to contain what is needed for that.
func straddles(known []string, old string) bool {
	for i := 1; i < len(old); i++ {
		for n, k := range known {
			before, after := n < len(known)-1, n > 0 // an unknown part comes after k, or before it
			if before && strings.HasSuffix(k, old[:i]) || after && strings.HasPrefix(k, old[i:]) || before && after && strings.HasPrefix(old[i:], k) && i+len(k) < len(old) {
				return true
			}
		}
	}
	return false
}

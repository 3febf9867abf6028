package aosm

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

var textFunctions = map[string]function{
	"concat": {1, many, concat}, "format": {1, many, format}, "replace": {3, 3, replace}, "split": {2, 2, split}, "join": {2, 2, join},
	"tolower": {1, 1, worded(strings.ToLower)}, "toupper": {1, 1, worded(strings.ToUpper)}, "trim": {1, 1, worded(strings.TrimSpace)},
	"substring": {2, 3, substring}, "padleft": {2, 3, padLeft}, "startswith": {2, 2, fits(strings.HasPrefix)}, "endswith": {2, 2, fits(strings.HasSuffix)},
	"base64": {1, 1, encoded(encode64)}, "base64tostring": {1, 1, encoded(decode64)}, "uricomponent": {1, 1, encoded(encodeURI)}, "uricomponenttostring": {1, 1, encoded(url.PathUnescape)},
	"base64tojson": {1, 1, base64ToJSON},
}

// worded changes a text, character by character.
func worded(change func(string) string) func(*scope, *node, []value) (value, error) {
	return func(s *scope, at *node, args []value) (value, error) {
		w, err := args[0].word()
		if err != nil {
			return value{}, err
		}
		return s.make(at, text, change(w))
	}
}

// encoded changes a text that does not depend on the deployment.
func encoded(change func(string) (string, error)) func(*scope, *node, []value) (value, error) {
	return func(s *scope, at *node, args []value) (value, error) {
		all, err := knownWords(args)
		if err != nil {
			return value{}, err
		}
		out, err := change(all[0])
		if err != nil || !utf8.ValidString(out) {
			return value{}, errors.New("a text cannot be decoded")
		}
		return s.make(at, text, out)
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

func base64ToJSON(s *scope, at *node, args []value) (value, error) {
	out, err := encoded(decode64)(s, at, args)
	if err != nil {
		return value{}, err
	}
	return asJSON(s, at, []value{out})
}

func fits(judge func(s, part string) bool) func(*scope, *node, []value) (value, error) {
	return func(s *scope, at *node, args []value) (value, error) {
		all, err := knownWords(args)
		if err != nil {
			return value{}, err
		}
		return s.make(at, boolean, strconv.FormatBool(judge(fold(all[0]), fold(all[1]))))
	}
}

func concat(s *scope, at *node, args []value) (value, error) {
	if args[0].isArray() {
		var all []value
		for _, a := range args {
			if !a.isArray() {
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
	return joined(s, at, all, "")
}

// joined joins texts.
func joined(s *scope, at *node, all []string, between string) (value, error) {
	size := len(all) * len(between)
	for _, w := range all {
		size += len(w)
	}
	if err := s.spend(0, size); err != nil { // before it is made
		return value{}, err
	}
	return s.make(at, text, strings.Join(all, between))
}

func join(s *scope, at *node, args []value) (value, error) {
	between, err := args[1].word()
	if err != nil {
		return value{}, err
	}
	if !args[0].isArray() {
		return value{}, errors.New("join() takes an array and a text")
	}
	var all []string
	for _, item := range args[0].items() {
		v, err := item.resolve()
		if err != nil {
			return value{}, err
		}
		w, err := v.word()
		if err != nil {
			return value{}, err
		}
		all = append(all, w)
	}
	return joined(s, at, all, between)
}

// split is split(text, delimiter) or split(text, array of delimiters). No part of an id that only a
// deployment knows has a slash in it.
func split(s *scope, at *node, args []value) (value, error) {
	in, err := args[0].word()
	if err != nil {
		return value{}, err
	}
	delimiters := []value{args[1]}
	if args[1].isArray() {
		delimiters = args[1].items()
	}
	parts := []string{in}
	for _, d := range delimiters {
		d, err := d.resolve()
		if err != nil {
			return value{}, err
		}
		w, err := d.word()
		if err != nil || w == "" {
			return value{}, errors.New("split() needs a delimiter")
		}
		if parts, err = cut(s, parts, w); err != nil {
			return value{}, err
		}
	}
	all := make([]value, len(parts))
	for i, p := range parts {
		if all[i], err = s.make(at, text, p); err != nil {
			return value{}, err
		}
	}
	return s.makeArray(at, all)
}

// cut splits texts.
func cut(s *scope, parts []string, by string) ([]string, error) {
	var all []string
	for _, p := range parts {
		if by != "/" {
			if err := known(p, by); err != nil {
				return nil, err
			}
		}
		n := strings.Count(p, by) + 1
		if err := s.spend(n, 100*n); err != nil {
			return nil, err
		}
		all = append(all, strings.Split(p, by)...)
	}
	return all, nil
}

func substring(s *scope, at *node, args []value) (value, error) {
	all, err := knownWords(args)
	if err != nil {
		return value{}, err
	}
	runes := []rune(all[0])
	start, err := args[1].integer()
	if err != nil {
		return value{}, err
	}
	size := len(runes) - start
	if len(args) == 3 {
		if size, err = args[2].integer(); err != nil {
			return value{}, err
		}
	}
	if start < 0 || size < 0 || start > len(runes) || size > len(runes)-start {
		return value{}, errors.New("substring() goes beyond the text")
	}
	return s.make(at, text, string(runes[start:start+size]))
}

// padLeft is padLeft(text, length[, character]).
func padLeft(s *scope, at *node, args []value) (value, error) {
	all, err := knownWords(args)
	if err != nil {
		return value{}, err
	}
	with := " "
	if len(args) == 3 {
		with = all[2]
	}
	n, err := args[1].integer()
	if err != nil || n < 0 || n > 1000 || len([]rune(with)) != 1 {
		return value{}, errors.Join(err, errors.New("padLeft() takes a text, a length of at most 1000, and one character"))
	}
	return s.make(at, text, strings.Repeat(with, max(0, n-len([]rune(all[0]))))+all[0])
}

var placeholder = regexp.MustCompile(`\{\{|\}\}|\{[^{}]*\}`)

func format(s *scope, at *node, args []value) (value, error) {
	all, err := formatted(args)
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

// formatted are the arguments of format(), of which an array or object is written as JSON.
func formatted(args []value) ([]string, error) {
	all := make([]string, len(args))
	for i, a := range args {
		var err error
		if all[i], err = a.word(); err == nil {
			continue
		}
		if i == 0 {
			return nil, err
		}
		if !a.there() { // as in .NET
			continue
		}
		if all[i], err = a.rendered(); err != nil {
			return nil, err
		}
	}
	return all, nil
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

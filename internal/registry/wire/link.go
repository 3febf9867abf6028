package wire

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/nfo-operator/nfo/internal/registry/failure"
)

// NextPage returns the query of the answer's link to the next page (RFC 8288), "" after the last page. It
// is the link whose relations contain "next". If none exists, a link without a relation is taken for it:
// a page too many loses nothing (I2). Errors wrap ErrUnreadable: a Link header is malformed, the link has no
// query, or there are links to different pages. Only the query is used: behind a proxy a registry often names
// an inner host or path in the link, and the client's credentials are not sent there.
func NextPage(resp *http.Response) (string, error) {
	next := ""
	for _, target := range nextTargets(resp.Header.Values("Link")) {
		parsed, err := url.Parse(target)
		switch {
		case err != nil || parsed.RawQuery == "":
			return "", fmt.Errorf("%w: its link to the next page is malformed", failure.ErrUnreadable)
		case next != "" && next != parsed.RawQuery:
			return "", fmt.Errorf("%w: it has links to different next pages", failure.ErrUnreadable)
		}
		next = parsed.RawQuery
	}
	return next, nil
}

// nextTargets returns the targets of the links to the next page in Link headers. A malformed link is an empty
// target, which refers to no page.
func nextTargets(headers []string) []string {
	var next, unnamed []string
	for _, rest := range headers {
		for rest = skipLinkSpace(rest); rest != ""; rest = skipLinkSpace(rest) {
			var target string
			var relations []string
			var ok bool
			target, relations, rest, ok = cutLink(rest)
			switch {
			case !ok:
				return []string{""}
			case slices.Contains(relations, "next"):
				next = append(next, target)
			case len(relations) == 0:
				unnamed = append(unnamed, target)
			}
		}
	}
	if len(next) == 0 {
		return unnamed
	}
	return next
}

// skipLinkSpace skips the white space and empty elements between the links of a header.
func skipLinkSpace(s string) string { return strings.TrimLeft(s, " \t,") }

// cutLink cuts the first link off a Link header: its target, its relations in lower case, none if it has no
// rel parameter, and what follows it. ok is false if the link is malformed.
func cutLink(s string) (target string, relations []string, rest string, ok bool) {
	s, ok = strings.CutPrefix(s, "<")
	target, rest, closed := strings.Cut(s, ">")
	if !ok || !closed {
		return "", nil, "", false
	}
	named := false
	for {
		rest = strings.TrimLeft(rest, " \t")
		if rest == "" || rest[0] == ',' {
			return target, relations, rest, true
		}
		if rest[0] != ';' {
			return "", nil, "", false
		}
		var name, value string
		if name, value, rest, ok = cutLinkParameter(strings.TrimLeft(rest[1:], " \t")); !ok {
			return "", nil, "", false
		}
		if strings.EqualFold(name, "rel") && !named { // the first one counts
			named, relations = true, relationsOf(value)
		}
	}
}

// relationsOf splits the value of a rel parameter. Some servers separate or quote relations in other ways
// than by spaces and double quotes; these are read as well.
func relationsOf(value string) []string {
	return strings.FieldsFunc(strings.ToLower(value), func(r rune) bool { return strings.ContainsRune(" \t,;'\"", r) })
}

// cutLinkParameter cuts the first parameter off, its name and its value without quotes.
func cutLinkParameter(s string) (name, value, rest string, ok bool) {
	name, rest = cutBefore(s, "=;, \t")
	rest = strings.TrimLeft(rest, " \t")
	if !strings.HasPrefix(rest, "=") {
		return name, "", rest, true
	}
	rest = strings.TrimLeft(rest[1:], " \t")
	if !strings.HasPrefix(rest, `"`) {
		value, rest = cutBefore(rest, ";, \t")
		return name, value, rest, true
	}
	var unquoted strings.Builder
	for i := 1; i < len(rest); i++ {
		switch rest[i] {
		case '"':
			return name, unquoted.String(), rest[i+1:], true
		case '\\':
			if i++; i == len(rest) {
				return "", "", "", false
			}
		}
		unquoted.WriteByte(rest[i])
	}
	return "", "", "", false
}

// cutBefore cuts a text before the first of some characters.
func cutBefore(s, characters string) (before, rest string) {
	if i := strings.IndexAny(s, characters); i >= 0 {
		return s[:i], s[i:]
	}
	return s, ""
}

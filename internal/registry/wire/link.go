package wire

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/nfo-operator/nfo/internal/registry/failure"
)

// NextPage returns the query of the answer's link to the next page (RFC 8288), "" after the last page. The link to
// the next page is the one whose relations contain "next". Without such a link, a link without a relation counts
// as it: reading a page too many loses nothing (I2). Errors wrap ErrUnreadable: a Link header is malformed, the
// link has no query, or there are links to different pages. Only the query is used, because a registry behind a
// proxy often puts an internal host or path into the link, and the client's credentials must not be sent there.
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

// nextTargets returns the targets of the links to the next page in
// Link headers. It returns one empty target if a link is malformed.
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

// cutLink cuts the first link off a Link header. It returns the target, the relations in lower case
// (none without a rel parameter), and the rest of the header. ok is false if the link is malformed.
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
		if strings.EqualFold(name, "rel") && !named { // RFC 8288: only the first rel parameter counts
			named, relations = true, relationsOf(value)
		}
	}
}

// relationsOf splits the value of a rel parameter. It also accepts commas, semicolons
// and single quotes, because some servers separate or quote relations with them.
func relationsOf(value string) []string {
	return strings.FieldsFunc(strings.ToLower(value), func(r rune) bool { return strings.ContainsRune(" \t,;'\"", r) })
}

// cutLinkParameter cuts the first parameter off. It returns the name, the value without quotes, and the rest.
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

// cutBefore splits a text before the first of some characters.
func cutBefore(s, characters string) (before, rest string) {
	if i := strings.IndexAny(s, characters); i >= 0 {
		return s[:i], s[i:]
	}
	return s, ""
}

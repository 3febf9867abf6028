package finding_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nfo-operator/nfo/internal/aosm/document"
	"github.com/nfo-operator/nfo/internal/aosm/expression"
	"github.com/nfo-operator/nfo/internal/aosm/finding"
	"github.com/nfo-operator/nfo/internal/aosm/template"
)

// reported returns an empty report for an input, with the input's node and session.
func reported(t *testing.T, input string) (*finding.Report, *document.Node, *template.Session) {
	t.Helper()
	documents, err := document.Parse([]byte(input))
	if err != nil {
		t.Fatal(err)
	}
	s := template.NewSession(expression.Evaluate)
	return finding.NewReport(s), documents[0], s
}

func lines(r *finding.Report) (all []string) {
	for _, f := range r.Findings {
		all = append(all, fmt.Sprintf("%s %s %s", f.Level, f, f.Name))
	}
	return all
}

// TestLeftovers checks that every node that was not dealt with is reported once, and no other.
func TestLeftovers(t *testing.T) {
	t.Parallel()
	r, n, s := reported(t, `{"read": 1, "Location": "westeurope", "extra": {"a": 1}, "opened": {"known": 1, "new": 2, "nothing": null},
		"closed": {"whatever": 1}, "list": [{"location": "x"}, 2], "made": "[createObject('b', 1, 'tags', 2)]"}`)
	for _, name := range []string{"read", "opened", "list", "made"} {
		n.Member(name).Open()
	}
	n.Member("opened").Member("known").Open()
	n.Member("closed").Close()
	n.Member("list").Items[0].Open()
	of := template.NewTemplate(s, n, nil)
	if _, err := (template.Value{Node: n.Member("made"), Scope: &template.Scope{Session: s, Template: of}}).Resolve(); err != nil {
		t.Fatal(err)
	}
	r.Leftovers(n)
	want := []string{
		"Ignored $.Location: where Azure keeps it is nothing to a cluster Location",
		"NotMapped $.extra: it has no counterpart ",
		"NotMapped $.opened.new: it has no counterpart ",
		"Ignored $.list[0].location: where Azure keeps it is nothing to a cluster location",
		"NotMapped $.list[1]: it has no counterpart ",
		"NotMapped $.made.b: it has no counterpart ",
		"Ignored $.made.tags: tags of Azure are no labels of the cluster tags",
	}
	if diff := cmp.Diff(want, lines(r)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	r.Leftovers(n)
	if diff := cmp.Diff(want, lines(r)); diff != "" {
		t.Errorf("after another look (-want +got):\n%s", diff)
	}
}

// TestLevels checks which reports close a node as a whole.
func TestLevels(t *testing.T) {
	t.Parallel()
	r, n, s := reported(t, `{"a": {"x": 1}, "b": {"x": 1}, "c": 1, "d": {"x": 1}}`)
	r.Add(finding.Finding{Level: finding.Note, Path: "$", Reason: "it is new"})
	r.Tell(finding.Note, n.Member("a"), "it is %d", 1)
	r.Ignore(n.Member("b"), "it means nothing")
	r.Unmapped(n.Member("c"), "it is unknown")
	r.Undecided(n.Member("d"), "the name", nil, errors.New("no value"))
	want := []string{
		"Note $: it is new ", "Note $.a: it is 1 ", "Ignored $.b: it means nothing b", "NotMapped $.c: it is unknown ", "NotMapped $.d: the name cannot be decided: no value ",
	}
	if diff := cmp.Diff(want, lines(r)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for name, closed := range map[string]bool{"a": false, "b": true, "c": true, "d": true} {
		if got := n.Member(name).State == document.Closed; got != closed {
			t.Errorf("%s is dealt with: %t, want %t", name, got, closed)
		}
	}
	if r.Doubts != 1 {
		t.Errorf("%d doubts, want the one that could not be decided", r.Doubts)
	}
	// An error that makes the whole input unusable is not a finding.
	r.Undecided(n, "all", fmt.Errorf("%w: too much", document.ErrInput))
	if len(r.Findings) != len(want) || !errors.Is(s.Fatal, document.ErrInput) {
		t.Errorf("%v, and the session says %v", lines(r)[len(want):], s.Fatal)
	}
}

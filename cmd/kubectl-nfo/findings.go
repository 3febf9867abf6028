package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/aosm/finding"
)

// tellFindings writes the findings of an import, one on a line:
// what was not mapped, then the notes, then each ignored name once.
func tellFindings(w io.Writer, findings []finding.Finding) {
	tell(w, "Not mapped:", ofLevel(findings, finding.NotMapped))
	tell(w, "To know:", ofLevel(findings, finding.Note))
	tell(w, "Means nothing here:", once(ofLevel(findings, finding.Ignored)))
}

func ofLevel(findings []finding.Finding, level finding.Level) []finding.Finding {
	return slices.DeleteFunc(slices.Clone(findings), func(f finding.Finding) bool { return f.Level != level })
}

func tell(w io.Writer, title string, findings []finding.Finding) {
	for i, f := range findings {
		if i == 0 {
			fmt.Fprintln(w, title)
		}
		fmt.Fprintln(w, " ", v1alpha1.Line(fmt.Sprint(f)))
	}
}

// once keeps the first finding of each name, with the number of others.
func once(findings []finding.Finding) []finding.Finding {
	count := map[string]int{}
	var firsts []finding.Finding
	for _, f := range findings {
		if count[f.Name]++; count[f.Name] == 1 {
			firsts = append(firsts, f)
		}
	}
	for i, f := range firsts {
		if n := count[f.Name]; n > 1 {
			firsts[i].Path += fmt.Sprintf(" (and %d more)", n-1)
		}
	}
	slices.SortFunc(firsts, func(a, b finding.Finding) int { return cmp.Compare(a.Name, b.Name) })
	return firsts
}

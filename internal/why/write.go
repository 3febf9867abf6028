package why

import (
	"fmt"
	"io"
	"slices"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// write writes the answer as text: the chain as a tree, then what follows.
func (a *answer) write(out io.Writer) error {
	w := &writer{out: out}
	w.line("%s", a.Subject)
	w.links(a.KeptBy, "")
	w.line("")
	w.line("%s", a.Verdict)
	if len(a.Released) > 0 {
		w.line("")
		w.line("Released:")
	}
	for all := a.Released; len(all) > 0; {
		same := alike(all)
		w.released(all[:same])
		all = all[same:]
	}
	for _, i := range a.Incomplete {
		w.line("")
		w.line("Incomplete: %s.", i)
	}
	return w.err
}

// alike returns how many releases at the start of all have the same tombstone, state and sentence.
func alike(all []release) int {
	first := all[0]
	other := func(r release) bool {
		return r.Tombstone != first.Tombstone || r.State != first.State || r.Says != first.Says
	}
	if n := slices.IndexFunc(all, other); n > 0 {
		return n
	}
	return len(all)
}

// writer writes lines and keeps the first error.
type writer struct {
	out io.Writer
	err error
}

// line writes one printable line, whatever characters the arguments contain.
func (w *writer) line(format string, args ...any) {
	if w.err == nil {
		_, w.err = fmt.Fprintln(w.out, v1alpha1.Line(fmt.Sprintf(format, args...)))
	}
}

// released writes the tags of one tombstone, and once what they have in common.
func (w *writer) released(all []release) {
	first := all[0]
	if len(all) == 1 {
		w.line("  %s:%s (tombstone %s, %s): %s.", first.Repository, first.Tag, first.Tombstone, first.State, first.Says)
		return
	}
	w.line("  Each of %d tags (tombstone %s, %s): %s.", len(all), first.Tombstone, first.State, first.Says)
	for _, r := range all {
		w.line("    %s:%s", r.Repository, r.Tag)
	}
}

// links writes links one below the other, and below each the links that keep it.
func (w *writer) links(links []*link, indent string) {
	for i, l := range links {
		branch, below := "├── ", "│   "
		if i == len(links)-1 {
			branch, below = "└── ", "    "
		}
		notes := ""
		if l.Because != "" {
			notes += " (" + l.Because + ")"
		}
		if l.Terminating {
			notes += ", itself being deleted"
		}
		if l.ShownAbove {
			notes += ", kept as above"
		}
		w.line("%s%s%s%s", indent, branch, l.Object, notes)
		w.links(l.KeptBy, indent+below)
	}
}

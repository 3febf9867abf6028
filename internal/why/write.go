package why

import (
	"fmt"
	"io"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// write writes the answer for people: the chain as a tree, then what follows.
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
	for _, r := range a.Released {
		w.line("  %s:%s (tombstone %s, %s): %s.", r.Repository, r.Tag, r.Tombstone, r.State, r.Says)
	}
	for _, i := range a.Incomplete {
		w.line("")
		w.line("Incomplete: %s.", i)
	}
	return w.err
}

// writer keeps the first error.
type writer struct {
	out io.Writer
	err error
}

// line writes one line, whatever the arguments have in them.
func (w *writer) line(format string, args ...any) {
	if w.err == nil {
		_, w.err = fmt.Fprintln(w.out, v1alpha1.Line(fmt.Sprintf(format, args...)))
	}
}

// links writes links below each other, and below each what keeps it.
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

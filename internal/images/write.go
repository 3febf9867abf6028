package images

import (
	"cmp"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/plugin"
)

// table writes stores as text.
type table struct {
	out        io.Writer
	unused     bool
	written    int
	incomplete []string
	err        error
}

// line writes one line, unless an earlier write has failed.
func (t *table) line(to io.Writer, format string, args ...any) {
	if t.err == nil {
		_, t.err = fmt.Fprintf(to, format+"\n", args...)
	}
}

func (t *table) store(s stored) error {
	if t.written++; t.written > 1 {
		t.line(t.out, "")
	}
	t.line(t.out, "%s (%s)", v1alpha1.ResourceID(v1alpha1.KindArtifactStore, s.Namespace, s.Store), v1alpha1.Line(s.URL))
	if !s.WorkloadsCount {
		t.line(t.out, "Running workloads were not checked, because the store has no spec.workloads: only definitions and designs count.")
	}
	switch {
	case len(s.Images) > 0:
		t.images(s.Images)
	case t.unused && s.Incomplete != "":
		t.line(t.out, "Nothing can be said to be unused.")
	case t.unused:
		t.line(t.out, "Everything that its manifests list is held.")
	case s.Incomplete != "":
		t.line(t.out, "No image of it is known.")
	default:
		t.line(t.out, "No manifest lists an image of it, and no workload uses one.")
	}
	if s.Incomplete != "" {
		t.incomplete = append(t.incomplete, v1alpha1.Line(s.Incomplete))
	}
	return t.err
}

func (t *table) images(all []image) {
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	t.line(w, "IMAGE\tMANIFEST\tHELD BY\tSTATE")
	for _, i := range all {
		manifest := "- (not listed)"
		if len(i.Manifests) > 0 {
			manifest = first(i.Manifests, len(i.Manifests))
		}
		t.line(w, "%s\t%s\t%s\t%s", v1alpha1.Line(i.Image), v1alpha1.Line(manifest), v1alpha1.Line(first(i.HeldBy, i.HeldByCount)), i.State)
	}
	t.err = cmp.Or(t.err, w.Flush())
}

// first returns the first of several names and the number of the others.
func first(names []string, count int) string {
	switch {
	case count == 0:
		return "-"
	case count > 1:
		return fmt.Sprintf("%s and %d more", names[0], count-1)
	}
	return names[0]
}

func (t *table) end() error {
	if t.written == 0 {
		t.line(t.out, "No ArtifactStore was found.")
	}
	for _, text := range t.incomplete {
		t.line(t.out, "")
		t.line(t.out, "Incomplete: %s.", text)
	}
	return t.err
}

// document writes stores as JSON, as one object with an array of them.
type document struct {
	out     io.Writer
	written int
}

func (d *document) store(s stored) error {
	before := ",\n"
	if d.written++; d.written == 1 {
		before = `{"stores": [` + "\n"
	}
	if _, err := io.WriteString(d.out, before); err != nil {
		return err
	}
	return plugin.WriteJSON(d.out, s)
}

func (d *document) end() error {
	text := "]}\n"
	if d.written == 0 {
		text = `{"stores": []}` + "\n"
	}
	_, err := io.WriteString(d.out, text)
	return err
}

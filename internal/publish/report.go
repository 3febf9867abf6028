package publish

import (
	"cmp"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/plugin"
	"github.com/nfo-operator/nfo/internal/plugin/progress"
)

// row is the output for one entry.
type row struct {
	Artifact string `json:"artifact"`
	// At is where the artifact belongs: host, repository, and tag or digest.
	At string `json:"at"`
	// Digest is what the tag is at or, with --dry-run, would be at; "" if it is missing.
	Digest string `json:"digest,omitempty"`
	Result result `json:"result"`
	// Satellites is the number of signatures, attestations and SBOMs that go with the artifact.
	Satellites int `json:"satellites,omitempty"`
	// Message is the error of a failure, or what a user must know about a result.
	Message string `json:"message,omitempty"`

	says string
}

// rows returns the entries that have sources and those that are missing or moved; without sources all entries.
func (p *publication) rows() []row {
	all := []row{}
	for _, i := range p.items {
		if i.source == nil && i.result == resultPresent && p.sources() > 0 {
			continue
		}
		r := row{
			Artifact: i.name(), Result: i.result, Digest: i.want().Digest.String(), Satellites: len(i.satellites), says: i.says(),
			At: p.at(i),
		}
		switch {
		case i.err != nil:
			r.Message = i.err.Error()
		case i.unverified, i.withoutTag(), len(i.replaced()) > 0:
			r.Message = r.says
		}
		all = append(all, r)
	}
	return all
}

func (p *publication) sources() int {
	n := 0
	for _, i := range p.items {
		if i.source != nil {
			n++
		}
	}
	return n
}

// says describes an item's result in words.
func (i *item) says() string {
	if i.unverified {
		return "pushed, not verified"
	}
	switch i.result {
	case resultMissing:
		return "missing"
	case resultPresent:
		if i.sameContent {
			return "there already, as Helm pushed it"
		}
		if len(i.unattached()) > 0 {
			return i.withSatellites("there already, would be signed")
		}
		return i.withSatellites("there already")
	case resultMoved:
		return "moved: it was sealed at " + i.recorded.String()
	case resultPush:
		return i.withSatellites(fmt.Sprintf("would be pushed (%s)", progress.Size(i.size())))
	case resultOverwrite:
		return i.withSatellites(fmt.Sprintf("would be pushed (%s) over %s", progress.Size(i.size()), i.current.Digest))
	case resultPushed:
		if i.withoutTag() {
			return fmt.Sprintf("pushed without its tag, which comes back with the annotation %s=%s", v1alpha1.AnnotationRestoreDigest, i.recorded)
		}
		return i.withSatellites("pushed")
	case resultOverwritten:
		return i.withSatellites("overwrote " + i.current.Digest.String())
	case resultInterrupted:
		return "interrupted"
	}
	return "failed"
}

// withoutTag reports whether an entry was pushed while its tag stayed at another digest.
func (i *item) withoutTag() bool {
	return i.result == resultPushed && i.untagged && i.image.Host == ""
}

func (p *publication) write(out io.Writer, format string) error {
	rows := p.rows()
	if format == "json" {
		if m := p.target.mirror; m != nil {
			return plugin.WriteJSON(out, map[string]any{"mirror": m.store.Name, "namespace": m.store.Namespace, "artifacts": rows})
		}
		return plugin.WriteJSON(out, map[string]any{"manifest": p.target.manifest.Name, "namespace": p.target.manifest.Namespace, "artifacts": rows})
	}
	if len(rows) == 0 {
		return nil
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ARTIFACT\tDIGEST\tRESULT\tAT")
	for _, r := range rows {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", v1alpha1.Line(r.Artifact), v1alpha1.Line(cmp.Or(r.Digest, "-")), v1alpha1.Line(r.says), v1alpha1.Line(r.At))
	}
	return table.Flush()
}

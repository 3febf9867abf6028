package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/chart"
	"github.com/nfo-operator/nfo/internal/plugin"
)

const chartsHelp = `Shows, for each chart that a manifest lists, the images that the chart names: where in the chart, where in
the store, and why each one is required or optional.

This is what the manager has recorded in the manifest's status. No registry is asked and no chart is rendered here.

Exit codes:
  0  this is the answer
  1  something failed: the manifest does not exist, or the cluster cannot be asked
  2  wrong usage`

const chartsExample = `  # Which images do the charts of this manifest need, and which are missing?
  kubectl nfo charts am/upf-1.0.0 -n publisher`

// chartsFlags holds the flags of `kubectl nfo charts`.
type chartsFlags struct {
	output  string
	config  *genericclioptions.ConfigFlags
	streams genericiooptions.IOStreams
}

func newChartsCommand(streams genericiooptions.IOStreams, config *genericclioptions.ConfigFlags) *cobra.Command {
	flags := &chartsFlags{config: config, streams: streams}
	cmd := &cobra.Command{
		Use:     "charts am/NAME",
		Short:   "Show the images that charts need, where they are named and where they are",
		Long:    chartsHelp,
		Example: chartsExample,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return plugin.Usage("one argument is needed: am/NAME")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return flags.run(cmd.Context(), args[0]) },
	}
	cmd.Flags().StringVarP(&flags.output, "output", "o", "table", "table or json")
	return cmd
}

func (f *chartsFlags) run(ctx context.Context, what string) error {
	if f.output != "table" && f.output != "json" {
		return plugin.Usage("--output is table or json, not %q", f.output)
	}
	resource, name, ok := strings.Cut(what, "/")
	if !ok || name == "" || strings.Contains(name, "/") {
		return plugin.Usage("%q is not am/NAME", what)
	}
	api, namespace, kind, err := plugin.ConnectFor(f.config, f.streams, resource)
	if err != nil {
		return err
	}
	if kind != v1alpha1.KindArtifactManifest {
		return plugin.Usage("%q is not am/NAME: only manifests list charts", what)
	}
	var m v1alpha1.ArtifactManifest
	if err := api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &m); err != nil {
		return &plugin.Error{Code: plugin.ExitFailed, Err: fmt.Errorf("reading %s: %w", v1alpha1.ResourceID(kind, namespace, name), err)}
	}
	return f.print(chartsReport(&m))
}

func (f *chartsFlags) print(r chartReport) error {
	return plugin.Print(f.streams.Out, f.output, r, r.write)
}

// chartReport is the answer of `kubectl nfo charts`.
type chartReport struct {
	Subject string `json:"subject"`
	// Complete is the status and reason of the condition, such as
	// True/Complete; "" before the first pass. Message is its message.
	Complete string        `json:"complete,omitempty"`
	Message  string        `json:"message,omitempty"`
	Charts   []chartImages `json:"charts"`
	// Unread are the charts that have not been read at their present digest. Unseen are the
	// artifacts that the manager has not seen in the registry: any of them may be a chart.
	Unread []string `json:"unread,omitempty"`
	Unseen []string `json:"unseen,omitempty"`
}

// chartImages is one chart and the images that it needs.
type chartImages struct {
	Artifact            string        `json:"artifact"`
	Digest              string        `json:"digest,omitempty"`
	Chart               string        `json:"chart,omitempty"`
	RegistryValuesPaths []string      `json:"registryValuesPaths,omitempty"`
	Images              []imageReport `json:"images"`
	// Unlisted is the number of images of the chart that are not recorded.
	Unlisted int    `json:"unlisted,omitempty"`
	Problem  string `json:"problem,omitempty"`
	Remark   string `json:"remark,omitempty"`
}

// imageReport is one image of a chart.
type imageReport struct {
	Image string `json:"image"`
	// Use says whether the image is required, or why it is optional.
	Use      string              `json:"use"`
	Required bool                `json:"required"`
	State    v1alpha1.ImageState `json:"state"`
	// Where is where the image is stored.
	Where  string `json:"where"`
	Digest string `json:"digest,omitempty"`
	// NamedIn is the place in the chart that contains the image's name.
	NamedIn string `json:"namedIn,omitempty"`
}

// chartsReport returns the report on the charts in a manifest's status.
func chartsReport(m *v1alpha1.ArtifactManifest) chartReport {
	r := chartReport{Subject: v1alpha1.ResourceID(v1alpha1.KindArtifactManifest, m.Namespace, m.Name), Charts: []chartImages{}}
	if c := apimeta.FindStatusCondition(m.Status.Conditions, v1alpha1.ConditionComplete); c != nil {
		r.Complete, r.Message = string(c.Status)+"/"+c.Reason, c.Message
	}
	digests := map[string]string{}
	for _, c := range m.Status.Charts {
		one := chartImages{Artifact: c.ArtifactName + ":" + c.ArtifactVersion, Digest: c.Digest, RegistryValuesPaths: c.RegistryValuesPaths, Images: []imageReport{}, Problem: c.Problem, Remark: c.Remark}
		if one.Chart = strings.TrimSpace(c.Name + " " + c.Version); c.AppVersion != "" {
			one.Chart += " (" + c.AppVersion + ")"
		}
		for _, i := range c.Images {
			one.Images = append(one.Images, imageReport{i.Image, useOf(i), !i.Optional, i.State, whereOf(i), i.Digest, i.Place})
		}
		one.Unlisted = max(0, int(c.ImageCount)-len(c.Images))
		digests[one.Artifact] = c.Digest
		r.Charts = append(r.Charts, one)
	}
	states := map[string]v1alpha1.ArtifactStatus{}
	for _, a := range m.Status.Artifacts {
		states[a.ArtifactName+":"+a.ArtifactVersion] = a
	}
	for _, a := range m.Spec.Artifacts {
		name := a.ArtifactName + ":" + a.ArtifactVersion
		switch seen := states[name]; {
		case seen.Digest == "":
			r.Unseen = append(r.Unseen, name)
		case seen.ConfigMediaType == chart.ConfigMediaType && digests[name] != seen.Digest:
			r.Unread = append(r.Unread, name)
		}
	}
	return r
}

// useOf returns whether an image is required, or why it is optional.
func useOf(i v1alpha1.ChartImage) string {
	switch {
	case !i.Optional:
		return "required"
	case i.OptionalReason == v1alpha1.OptionalTest:
		return "optional: only helm test uses it"
	case i.OptionalReason == v1alpha1.OptionalDependency:
		return "optional: only a dependency that is off uses it"
	case i.OptionalReason == v1alpha1.OptionalValues:
		return "optional: only values name it"
	}
	return "optional"
}

// whereOf returns where an image is stored.
func whereOf(i v1alpha1.ChartImage) string {
	where := i.Repository
	if i.Manifest != "" {
		where += " (am/" + i.Manifest + ")"
	}
	switch {
	case i.State == v1alpha1.ImageForeign:
		return "outside of the store"
	case where == "":
		return "missing: no manifest lists it"
	case i.State == v1alpha1.ImageMissing:
		return "listed, at another digest: " + where
	}
	return where
}

// printer writes lines until a write fails.
type printer struct {
	out io.Writer
	err error
}

func (p *printer) say(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.out, format+"\n", args...)
	}
}

// write writes the report as text.
func (r chartReport) write(out io.Writer) error {
	p := &printer{out: out}
	p.say("%s", r.Subject)
	if r.Complete != "" {
		p.say("Complete=%s: %s", r.Complete, r.Message)
	}
	for _, c := range r.Charts {
		c.write(p)
	}
	if len(r.Unread) > 0 {
		p.say("\nCharts that have not been read yet: %s", strings.Join(r.Unread, ", "))
	}
	if len(r.Unseen) > 0 {
		p.say("\nNot seen in the registry yet, and possibly charts: %s", strings.Join(r.Unseen, ", "))
	}
	if len(r.Charts)+len(r.Unread)+len(r.Unseen) == 0 {
		p.say("It lists no charts.")
	}
	return p.err
}

func (c chartImages) write(p *printer) {
	p.say("\n%s: chart %s", c.Artifact, cmp.Or(c.Chart, "whose name cannot be read"))
	if len(c.RegistryValuesPaths) > 0 {
		p.say("Read as definitions deploy it, which set the store's registry at %s.", strings.Join(c.RegistryValuesPaths, ", "))
	} else {
		p.say("Read with no registry set: no definition gives registryValuesPaths for it.")
	}
	if len(c.Images) > 0 && p.err == nil {
		table := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
		rows := &printer{out: table}
		rows.say("IMAGE\tUSE\tSTORED IN\tNAMED IN")
		for _, i := range c.Images {
			rows.say("%s\t%s\t%s\t%s", i.Image, i.Use, i.Where, cmp.Or(i.NamedIn, "not recorded"))
		}
		p.err = cmp.Or(rows.err, table.Flush())
	}
	if c.Problem != "" {
		p.say("Problem: %s", c.Problem)
	}
	if c.Remark != "" {
		p.say("Remark: %s", c.Remark)
	}
	if c.Unlisted > 0 {
		p.say("Images that are not recorded: %d.", c.Unlisted)
	}
}

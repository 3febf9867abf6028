package images

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/ocilayout"
	"github.com/nfo-operator/nfo/internal/plugin"
	"github.com/nfo-operator/nfo/internal/plugin/progress"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/rewrite"
)

// tries is the backoff for a registry that does not answer: it is asked again
// after 1 s and 2 s. Content that was already written is not read again.
var tries = wait.Backoff{Steps: 3, Duration: time.Second, Factor: 2}

// exported is the result of exporting one image.
type exported struct {
	Image  string `json:"image"`
	Digest string `json:"digest,omitempty"`
	// Result is Exported, Missing or Failed.
	Result  string `json:"result"`
	Message string `json:"message,omitempty"`
}

const (
	resultExported = "Exported"
	resultMissing  = "Missing"
	resultFailed   = "Failed"
)

// export is one export.
type export struct {
	mirror            *registry.Client
	withoutSatellites bool
	bars              *progress.Progress
	to                *ocilayout.Writer
	denied            string
	// partial is the number of images without some of their platforms.
	partial int
}

// exportMirrored exports the images of a namespace's Artifacts that the mirror has, or of all namespaces.
func (f *imagesFlags) exportMirrored(ctx context.Context, api client.Client, namespace string) error {
	all, err := needed(ctx, api, namespace, f.unused)
	var results []exported
	if err == nil {
		results, err = f.exportTo(ctx, api, all)
	}
	if err == nil {
		err = writeExported(f.streams.Out, f.output, results)
	}
	if err == nil {
		err = incomplete(results)
	}
	if err != nil {
		return &plugin.Error{Code: plugin.ExitFailed, Err: err}
	}
	return nil
}

// exportTo writes the layout and returns the result of each image. It writes nothing if there is no image.
func (f *imagesFlags) exportTo(ctx context.Context, api client.Client, all []mirrored) ([]exported, error) {
	if len(all) == 0 {
		return nil, errors.New("no Artifact, and nothing to export")
	}
	store, err := plugin.Mirror(ctx, api, f.mirrorNamespace)
	if err != nil {
		return nil, err
	}
	login, err := f.Cluster(ctx, api, store)
	if err != nil {
		return nil, err
	}
	mirror, err := registry.Open(login.Config)
	if err != nil {
		return nil, err
	}
	defer mirror.Close()
	to, err := ocilayout.Create(f.export, strings.HasSuffix(f.export, ".tar"))
	if err != nil {
		return nil, err
	}
	defer to.Abandon()
	e := &export{mirror: mirror, withoutSatellites: f.withoutSatellites, to: to, denied: login.Denied}
	e.bars = progress.New(f.streams.ErrOut, f.quiet, progress.Words{Doing: "exporting", Done: "exported"})
	results, err := e.images(ctx, all)
	e.bars.Wait()
	if err != nil {
		return nil, fmt.Errorf("%w; run the same command again", err)
	}
	if err := to.Finish(); err != nil {
		return nil, err
	}
	if e.partial > 0 && !f.quiet {
		_, _ = fmt.Fprintf(f.streams.ErrOut, "images without some of their platforms, which the mirror does not have: %d; a mirror takes them in if its value mirror.platforms lists no others\n", e.partial)
	}
	if !f.quiet {
		_, _ = fmt.Fprintf(f.streams.ErrOut, "%s is complete; blobs that were not there before: %d\n", v1alpha1.Line(f.export), to.Copied())
	}
	return results, nil
}

// images exports each image once. It continues after an image that is missing or fails, and returns an error if
// access is denied, the registry is unavailable, the layout cannot be written, or no image could be exported.
func (e *export) images(ctx context.Context, all []mirrored) ([]exported, error) {
	var results []exported
	last, whole := "", 0
	for _, m := range all {
		if m.Image == last {
			continue
		}
		last = m.Image
		r := exported{Image: m.Image, Result: resultExported}
		s, err := e.image(ctx, m.Image)
		if s != nil {
			r.Digest = s.Root.Descriptor.Digest.String()
		}
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.Is(err, registry.ErrDenied):
			return nil, fmt.Errorf("%w; %s", err, e.denied)
		case errors.Is(err, registry.ErrUnavailable), errors.Is(err, ocilayout.ErrWriting):
			return nil, err
		case errors.Is(err, registry.ErrNotFound):
			r.Result, r.Message = resultMissing, err.Error()
		case err != nil:
			r.Result, r.Message = resultFailed, err.Error()
		default:
			whole++
			if n := len(s.Absent()); n > 0 {
				e.partial++
				r.Message = fmt.Sprintf("without the manifests that the mirror does not have, such as those of other platforms: %d", n)
			}
		}
		results = append(results, r)
	}
	if whole == 0 {
		return nil, fmt.Errorf("the mirror has none of the %d images: %s", len(results), results[0].Message)
	}
	return results, nil
}

// image exports one image, as nodes pull it, with the platforms that the mirror has. The source is nil if it was not read.
func (e *export) image(ctx context.Context, name string) (s *registry.Source, err error) {
	i, err := rewrite.Parse(name)
	if err != nil {
		return nil, err
	}
	var last error
	err = wait.ExponentialBackoffWithContext(ctx, tries, func(ctx context.Context) (bool, error) {
		if s, last = e.try(ctx, i); errors.Is(last, registry.ErrUnavailable) && ctx.Err() == nil {
			return false, nil
		}
		return true, last
	})
	if wait.Interrupted(err) && last != nil { // all attempts have failed
		return s, last
	}
	return s, err
}

func (e *export) try(ctx context.Context, i rewrite.Image) (*registry.Source, error) {
	s, err := e.mirror.SourceWith(ctx, i.MirrorRepository(), i.Reference(), registry.Selection{Sparse: true})
	if err != nil {
		return nil, err
	}
	of := ocilayout.Image{Name: i.String(), Repository: i.Host + "/" + i.Repository, Source: s}
	if !e.withoutSatellites {
		if of.Satellites, err = e.mirror.Satellites(ctx, i.MirrorRepository(), s); err != nil {
			return nil, fmt.Errorf("%w; --without-signatures exports the images alone", err)
		}
	}
	size := s.Size
	for _, a := range of.Satellites {
		size += a.Source.Size
	}
	bar := e.bars.Start(i.String(), size)
	err = e.to.Add(ctx, of, bar.Add)
	bar.End(err)
	return s, err
}

// writeExported writes results as a table or as JSON.
func writeExported(out io.Writer, format string, all []exported) error {
	if format == "json" {
		return plugin.WriteJSON(out, map[string]any{"images": all})
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "IMAGE\tDIGEST\tRESULT")
	for _, r := range all {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\n", v1alpha1.Line(r.Image), v1alpha1.Line(cmp.Or(r.Digest, "-")), r.Result)
	}
	return w.Flush()
}

// maxSaid is the maximum number of images that an error names.
const maxSaid = 20

// incomplete returns the error of an export that lacks images, or nil if it has all.
func incomplete(all []exported) error {
	var lacking []string
	for _, r := range all {
		if r.Result != resultExported {
			lacking = append(lacking, fmt.Sprintf("%s (%s)", r.Image, r.Message))
		}
	}
	if len(lacking) == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d images are not in the layout: %s; 'kubectl get artifacts -A' says what the mirror has", len(lacking), len(all), v1alpha1.FirstOf(lacking, maxSaid))
}

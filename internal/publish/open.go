package publish

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	imageref "github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/chart"
	"github.com/nfo-operator/nfo/internal/files"
	"github.com/nfo-operator/nfo/internal/plugin"
	"github.com/nfo-operator/nfo/internal/plugin/logins"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/oci"
)

// maxProvenanceBytes is the largest provenance file that is read; it repeats the chart's Chart.yaml.
const maxProvenanceBytes = 4 << 20

// The lines that a clear-signed text and its signature begin and end with.
const (
	clearSignedBegins = "-----BEGIN PGP SIGNED MESSAGE-----"
	signatureBegins   = "-----BEGIN PGP SIGNATURE-----"
	signatureEnds     = "-----END PGP SIGNATURE-----"
)

// candidate is an opened source.
type candidate struct {
	labelled
	// images are the full names that it may have as an image, the most certain first.
	images []string
	// read reads its manifests.
	read func(context.Context) (*registry.Source, error)
	// satellites finds what is attached to it; nil if nothing can be attached.
	satellites func(context.Context, *registry.Source) ([]registry.Satellite, error)
	// chart is set for a Helm chart archive.
	chart bool
}

// opener opens sources, and keeps the layouts and clients to close at the end.
type opener struct {
	flags   *publishFlags
	target  *target
	layouts []*oci.Layout
	clients map[string]*registry.Client
}

func (o *opener) close() {
	for _, l := range o.layouts {
		_ = l.Close() // only read
	}
	for _, c := range o.clients {
		c.Close()
	}
}

// open opens all sources. Its error has the faults of all of them.
func (o *opener) open(ctx context.Context, arguments []sourceArgument) ([]candidate, error) {
	var all []candidate
	var errs []error
	for _, s := range arguments {
		var found []candidate
		var err error
		switch {
		case s.chart != "":
			found, err = o.chart(ctx, s)
		case s.layout != nil:
			found, err = o.layout(ctx, s)
		default:
			found, err = o.image(ctx, s)
		}
		all, errs = append(all, found...), append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, &plugin.Error{Code: plugin.ExitFailed, Err: fmt.Errorf("%w; nothing was pushed", err)}
	}
	return all, nil
}

// chart reads a chart as `helm push` does, with the provenance file beside it.
func (o *opener) chart(ctx context.Context, s sourceArgument) ([]candidate, error) {
	file, err := files.Open(s.chart)
	if err != nil {
		return nil, fmt.Errorf("opening the chart archive %s: %w", s.chart, err)
	}
	defer func() { _ = file.Close() }() // only read
	read, err := chart.ReadArchive(file)
	if err != nil {
		return nil, fmt.Errorf("reading the chart archive %s: %w", s.chart, err)
	}
	layers := []oci.Blob{{MediaType: chart.ContentMediaType, Data: read.Bytes}}
	provenance, err := readProvenance(s.chart)
	if err != nil {
		return nil, err
	}
	if provenance != nil {
		layers = append(layers, oci.Blob{MediaType: chart.ProvenanceMediaType, Data: provenance})
		slices.SortFunc(layers, func(a, b oci.Blob) int { return cmp.Compare(digest.FromBytes(a.Data), digest.FromBytes(b.Data)) })
	}
	source, err := oci.Pack(ctx, s.chart, oci.Blob{MediaType: chart.ConfigMediaType, Data: read.Config}, layers, read.Annotations)
	if err != nil {
		return nil, err
	}
	return []candidate{{
		labelled: labelled{written: s.written, entry: s.entry, identities: []identity{{read.Name, read.Tag()}}},
		read:     func(context.Context) (*registry.Source, error) { return source, nil },
		chart:    true,
	}}, nil
}

// readProvenance reads the provenance file that `helm package --sign` writes beside a chart; nil if none exists. Only
// a clear-signed text is accepted: any other file of that name, such as a private key or a link to one, is an error.
func readProvenance(chart string) ([]byte, error) {
	name := filepath.Base(chart) + ".prov"
	data, err := files.ReadBeside(chart, name, maxProvenanceBytes)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case errors.Is(err, files.ErrNotRegular):
		return nil, fmt.Errorf("%w: the provenance of a chart is pushed with it, and links are not followed; replace it with the file itself, or remove it", err)
	case err != nil:
		return nil, err
	case !isClearSigned(data):
		return nil, fmt.Errorf("reading %s: it is not a provenance file, which is a text signed in clear (%q): sign the chart with 'helm package --sign', or remove the file",
			filepath.Join(filepath.Dir(chart), name), clearSignedBegins)
	}
	return data, nil
}

// isClearSigned reports whether a text is one clear-signed message with its signature, and nothing else
// (RFC 9580, section 7).
func isClearSigned(data []byte) bool {
	text, begins := bytes.CutPrefix(bytes.TrimSpace(data), []byte(clearSignedBegins))
	_, signature, signed := bytes.Cut(text, []byte("\n"+signatureBegins))
	rest, ends := bytes.CutSuffix(signature, []byte(signatureEnds))
	return begins && signed && ends && !bytes.Contains(rest, []byte("-----"))
}

// layout opens a layout: all its images, or the one with the given tag.
func (o *opener) layout(ctx context.Context, s sourceArgument) ([]candidate, error) {
	open := oci.OpenLayout
	if s.layout.archive {
		open = oci.OpenLayoutArchive
	}
	l, err := open(s.layout.path)
	if err != nil {
		return nil, err
	}
	o.layouts = append(o.layouts, l)
	images, err := chosen(ctx, l, s.layout)
	if err != nil {
		return nil, err
	}
	var found []candidate
	for _, image := range images {
		name := oci.ImageName(image)
		c := candidate{labelled: labelled{written: s.written, entry: s.entry}}
		c.satellites = func(ctx context.Context, of *registry.Source) ([]registry.Satellite, error) {
			return l.Satellites(ctx, image, of)
		}
		// A mirror that stores chosen platforms exports only those. The
		// mirror that takes the image in knows whether it needs the others.
		selection := registry.Selection{Sparse: o.target.mirror != nil}
		c.read = func(ctx context.Context) (*registry.Source, error) { return l.SourceWith(ctx, image, selection) }
		c.identities, c.version = identities(s.layout.path, image)
		c.images = oci.ImageNames(image)
		if s.layout.tag == "" && name != "" {
			c.written += ":" + name
		}
		found = append(found, c)
	}
	switch {
	case len(found) == 0 && s.layout.tag != "":
		return nil, fmt.Errorf("the layout %s has no image with the name %q: %s", s.layout.path, s.layout.tag, imageNames(l.Images))
	case len(found) == 0:
		return nil, fmt.Errorf("the layout %s has no image in it", s.layout.path)
	case len(found) > 1 && s.entry != "":
		return nil, fmt.Errorf("the layout %s has %d images: say which one is for %s with :TAG", s.layout.path, len(found), s.entry)
	}
	return found, nil
}

// chosen returns the images of a layout that have a given tag or, without a tag, all that are
// attached to no other. If some images have names, those without must be parts of named images,
// which oras lists too: an image must not be left out because its layout gives it no name.
func chosen(ctx context.Context, l *oci.Layout, of *layoutArgument) ([]ocispec.Descriptor, error) {
	var all, unnamed []ocispec.Descriptor
	for _, image := range l.Images {
		names := oci.ImageNames(image)
		if of.tag != "" {
			if slices.Contains(names, of.tag) {
				all = append(all, image)
			}
			continue
		}
		attached, err := l.IsSatellite(ctx, image)
		switch {
		case err != nil:
			return nil, err
		case attached:
		case len(names) == 0:
			unnamed = append(unnamed, image)
		default:
			all = append(all, image)
		}
	}
	if len(all) == 0 || len(unnamed) == 0 {
		return append(all, unnamed...), nil
	}
	strays, err := l.Strays(ctx)
	if err == nil && len(strays) > 0 {
		err = fmt.Errorf("the layout %s has an image without a name, %.100q, beside those with names: give it a name, or say with :TAG which image is meant", of.path, strays[0].Digest)
	}
	return all, err
}

// imageNames lists the names that a layout gives its images.
func imageNames(images []ocispec.Descriptor) string {
	var names []string
	for _, d := range images {
		if name := oci.ImageName(d); name != "" {
			names = append(names, fmt.Sprintf("%.100q", name))
		}
	}
	if len(names) == 0 {
		return "it names none; leave :TAG out"
	}
	return "it has " + v1alpha1.FirstOf(names, maxNamed)
}

// identities returns the names and versions that the names of an image in a layout can mean.
func identities(layout string, image ocispec.Descriptor) (all []identity, version string) {
	for _, key := range []string{oci.ImageNameAnnotation, ocispec.AnnotationRefName} {
		ref, err := imageref.Parse(image.Annotations[key])
		if named, ok := ref.(imageref.NamedTagged); err == nil && ok {
			all = append(all, identity{path.Base(imageref.Path(named)), named.Tag()})
		}
	}
	// skopeo writes oci:upf:1.0.0 as an image 1.0.0 in the folder upf. The folder's name is used
	// only for an image without a full name: docker writes the bare tag beside the full name.
	if tag := image.Annotations[ocispec.AnnotationRefName]; len(all) == 0 && tag != "" && !strings.ContainsAny(tag, "/:@") {
		version = tag
		base := filepath.Base(filepath.Clean(layout))
		all = append(all, identity{strings.TrimSuffix(base, ".tar"), tag})
	}
	return all, version
}

// image finds an image in its registry.
func (o *opener) image(ctx context.Context, s sourceArgument) ([]candidate, error) {
	c, err := o.client(ctx, s.image.Host)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", s.image.Written, err)
	}
	at := cmp.Or(s.image.Digest.String(), s.image.Tag)
	found := candidate{labelled: labelled{written: s.written, entry: s.entry}, images: []string{s.image.Full()}}
	if s.image.Tag != "" {
		found.identities = []identity{{path.Base(s.image.Repository), s.image.Tag}}
	}
	found.read = func(ctx context.Context) (*registry.Source, error) { return c.Source(ctx, s.image.Repository, at) }
	found.satellites = func(ctx context.Context, of *registry.Source) ([]registry.Satellite, error) {
		return c.Satellites(ctx, s.image.Repository, of)
	}
	return []candidate{found}, nil
}

// client returns the client for a registry of sources. The store's own registry is reached with the store's configuration.
func (o *opener) client(ctx context.Context, host string) (*registry.Client, error) {
	if c, ok := o.clients[host]; ok {
		return c, nil
	}
	config := registry.Config{}
	config.Location.Host = host
	config.Location.PlainHTTP = slices.ContainsFunc(o.flags.PlainHosts, func(plain string) bool { return logins.SameHost(plain, host) })
	if own := o.target.own; host == o.target.config.Location.Host || own != nil && host == own.Host {
		config = o.target.config
		config.Location.Prefix = ""
	}
	if _, err := o.flags.Stored(ctx, &config); err != nil { // with none, the store's login applies to its host
		return nil, err
	}
	c, err := registry.Open(config)
	if err != nil {
		return nil, err
	}
	if o.clients == nil {
		o.clients = map[string]*registry.Client{}
	}
	o.clients[host] = c
	return c, nil
}

package publish

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	imageref "github.com/distribution/reference"

	"github.com/nfo-operator/nfo/internal/plugin"
)

// sourceArgument is a source as written on the command line.
type sourceArgument struct {
	written string
	// entry is NAME:VERSION, or the image for the mirror, if the command line gives it.
	entry string
	// One of these three is set.
	chart  string
	layout *layoutArgument
	image  *plugin.ImageReference
}

// layoutArgument is a layout, and the name of one image in it or "".
type layoutArgument struct {
	path    string
	archive bool
	tag     string
}

const (
	layoutPrefix  = "oci:"
	archivePrefix = "oci-archive:"
)

var entryPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9._/-]*:[A-Za-z0-9_][A-Za-z0-9._-]*$`)

// parseSources parses sources. isEntry reports whether the text before an equals sign is an entry or image.
func parseSources(args []string, isEntry func(string) bool) ([]sourceArgument, error) {
	var all []sourceArgument
	var errs []error
	for _, arg := range args {
		s, err := parseSource(arg, isEntry)
		all, errs = append(all, s), append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, &plugin.Error{Code: plugin.ExitUsage, Err: err}
	}
	return all, nil
}

// isImage reports whether a text is an image with its registry's host and a tag or digest.
func isImage(text string) bool {
	host, _, _ := strings.Cut(text, "/")
	_, err := plugin.ParseImage(text)
	return err == nil && hostLike(host)
}

// hostLike distinguishes a registry's host from the first segment of a path, as docker does.
func hostLike(host string) bool { return host == "localhost" || strings.ContainsAny(host, ".:") }

// parseSource parses [NAME:VERSION=]SOURCE.
func parseSource(arg string, isEntry func(string) bool) (sourceArgument, error) {
	s := sourceArgument{written: arg}
	if left, right, ok := strings.Cut(arg, "="); ok && isEntry(left) && !isLayout(left) {
		s.entry, arg = left, right
	}
	for _, scheme := range []string{"docker://", "oci://"} {
		if image, ok := strings.CutPrefix(arg, scheme); ok {
			return s, s.setImage(image)
		}
	}
	if isLayout(arg) {
		return s, s.setLayout(arg)
	}
	info, err := os.Stat(arg)
	switch {
	case err == nil && info.IsDir():
		return s, fmt.Errorf("%s is a folder: an image layout is given as %s%s, a chart as the archive that 'helm package' makes", arg, layoutPrefix, arg)
	case err == nil && info.Mode().IsRegular() && filepath.Ext(arg) == ".tar":
		return s, fmt.Errorf("%s is a tar archive: an image layout in one is given as %s%s", arg, archivePrefix, arg)
	case err == nil && info.Mode().IsRegular():
		s.chart = arg
		return s, nil
	case err == nil:
		return s, fmt.Errorf("%s is not a regular file", arg)
	case strings.HasSuffix(arg, ".tgz"), strings.HasPrefix(arg, "."), filepath.IsAbs(arg):
		return s, fmt.Errorf("the file %s does not exist", arg)
	}
	return s, s.setImage(arg)
}

func isLayout(arg string) bool {
	return strings.HasPrefix(arg, layoutPrefix) || strings.HasPrefix(arg, archivePrefix)
}

func (s *sourceArgument) setLayout(arg string) error {
	l := &layoutArgument{}
	rest, ok := strings.CutPrefix(arg, archivePrefix)
	if l.archive = ok; !ok {
		rest = strings.TrimPrefix(arg, layoutPrefix)
	}
	volume := filepath.VolumeName(rest)
	path, tag, tagged := strings.Cut(rest[len(volume):], ":")
	l.path, l.tag = volume+path, tag
	if l.path == "" || tagged && tag == "" {
		return fmt.Errorf("%q is neither %sFOLDER[:TAG] nor %sFILE[:TAG]", arg, layoutPrefix, archivePrefix)
	}
	s.layout = l
	return nil
}

// setImage parses an image reference, which must include its host:
// a mistyped file name must not become an image of docker.io.
func (s *sourceArgument) setImage(arg string) error {
	host, _, _ := strings.Cut(arg, "/")
	if !strings.Contains(arg, "/") || !hostLike(host) {
		return fmt.Errorf("%q is not a file, and no image with its registry's host, such as docker.io/library/nginx:1.25", arg)
	}
	i, err := plugin.ParseImage(arg)
	if err != nil {
		return err
	}
	// docker.io/nginx is docker.io/library/nginx.
	if named, err := imageref.ParseNormalizedNamed(arg); err == nil {
		i.Host, i.Repository = imageref.Domain(named), imageref.Path(named)
	}
	s.image = &i
	return nil
}

package main

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/distribution/reference"
)

// parseBuild parses the arguments of build into a spec and the archive's path.
func parseBuild(args []string) (spec, string, error) {
	var s spec
	var name, output string
	var epoch, limit int64
	flags := flag.NewFlagSet("image build", flag.ContinueOnError)
	flags.StringVar(&output, "output", "", "the archive's `path` (required)")
	flags.StringVar(&name, "name", "", "the image's `name`, by which docker and containerd will know it (required)")
	flags.StringVar(&s.roots, "roots", "", "the root certificates' `file`, as the command roots writes it (required)")
	flags.StringVar(&s.version, "version", "dev", "the `version` in the labels")
	flags.StringVar(&s.revision, "revision", "unknown", "the `commit` in the labels")
	flags.Int64Var(&epoch, "epoch", 0, "the `second` since 1970 that everything in the image dates from")
	flags.Int64Var(&limit, "limit", maxUnpacked>>20, "how many `MiB` the files of one platform's image may take together")
	if err := flags.Parse(args); err != nil {
		return s, "", errors.Join(errUsage, err)
	}
	if name == "" || output == "" || s.roots == "" || flags.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "image build needs --name, --output, --roots and a <platform>=<binary>")
		return s, "", errUsage
	}
	s.limit = limit << 20
	s.created = time.Unix(epoch, 0).UTC()
	var err error
	if s.name, err = parseName(name); err != nil {
		return s, "", err
	}
	s.binaries, err = parseBinaries(flags.Args())
	return s, output, err
}

// parseName completes an image's name as docker does: nfo becomes docker.io/library/nfo:latest.
func parseName(name string) (reference.NamedTagged, error) {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return nil, fmt.Errorf("reading the image's name %q: %w", name, err)
	}
	tagged, ok := reference.TagNameOnly(named).(reference.NamedTagged)
	if _, digested := named.(reference.Digested); digested || !ok {
		return nil, fmt.Errorf("the image's name %q has a digest, which follows from its content: name a tag instead", name)
	}
	return tagged, nil
}

// parseBinaries parses <platform>=<binary> arguments into the binaries' paths by platform.
func parseBinaries(args []string) (map[string]string, error) {
	binaries := map[string]string{}
	for _, arg := range args {
		platform, path, _ := strings.Cut(arg, "=")
		if _, known := machines[platform]; !known || path == "" {
			return nil, fmt.Errorf("%q is not <platform>=<binary>, with one of the platforms %q", arg, slices.Sorted(maps.Keys(machines)))
		}
		if binaries[platform] != "" {
			return nil, fmt.Errorf("two binaries are given for %s: name one", platform)
		}
		binaries[platform] = path
	}
	return binaries, nil
}

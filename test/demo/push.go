package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/cobra"

	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

// The media types of the two parts of a Helm chart, and of an artifact without a config.
const (
	chartConfigType = "application/vnd.cncf.helm.config.v1+json"
	chartLayerType  = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
	emptyType       = "application/vnd.oci.empty.v1+json"
)

// requestTimeout bounds all requests of one command together.
const requestTimeout = time.Minute

func newPushCommand() *cobra.Command {
	push := &cobra.Command{
		Use:   "push",
		Short: "Push something small to a registry that speaks plain HTTP",
		Example: `  demo push image $REGISTRY/acme/upf-1.0.0/upf-control:1.0.0
  demo push image $REGISTRY/acme/upf-1.0.0/upf-datapath:1.0.0 --platform linux/amd64,linux/arm64
  demo push chart $REGISTRY/acme/upf-1.0.0/upf:1.0.0 test/demo/chart/upf
  demo push file  $REGISTRY/acme/upf-1.0.0/nf-template:1.0.0 test/demo/nf-template.json
  demo push index $REGISTRY/acme/upf-1.0.0/upf-init:all sha256:...`,
	}
	push.AddCommand(newPushImageCommand(), pushCommand("chart HOST/REPOSITORY:TAG DIRECTORY", "Pack a Helm chart and push it", 2, pushChart),
		pushCommand("file HOST/REPOSITORY:TAG FILE", "Push a file as an artifact", 2, pushFile),
		pushCommand("index HOST/REPOSITORY:TAG DIGEST...", "Push an index of what is in the repository already", 2, pushIndex))
	return push
}

// newPushImageCommand returns a command that pushes an image with
// one file or, with platforms, one for each and an index of them.
func newPushImageCommand() *cobra.Command {
	var platforms []string
	cmd := pushCommand("image HOST/REPOSITORY:TAG", "Push an image that says its own name", 1,
		func(ctx context.Context, to reference, _ []string) (ocispec.Descriptor, error) {
			seed := to.repository + ":" + to.tag
			if len(platforms) == 0 {
				return registrytest.PushImage(ctx, to.host, to.repository, to.tag, seed)
			}
			return registrytest.PushIndex(ctx, to.host, to.repository, to.tag, platforms, seed)
		})
	cmd.Flags().StringSliceVar(&platforms, "platform", nil, "an image for each of these, such as linux/amd64, and an index of them")
	return cmd
}

// pushCommand returns a command whose first argument is where to push to. It prints what it pushed.
func pushCommand(use, short string, least int, push func(context.Context, reference, []string) (ocispec.Descriptor, error)) *cobra.Command {
	return &cobra.Command{
		Use:   use,
		Short: short,
		Args:  cobra.MinimumNArgs(least),
		RunE: func(cmd *cobra.Command, args []string) error {
			to, err := parseReference(args[0])
			if err != nil {
				return err
			}
			if to.tag == "" || to.digest != "" {
				return fmt.Errorf("%s is not HOST/REPOSITORY:TAG", args[0])
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), requestTimeout)
			defer cancel()
			desc, err := push(ctx, to, args[1:])
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s@%s\n", to, desc.Digest)
			return nil
		},
	}
}

func pushChart(ctx context.Context, to reference, args []string) (ocispec.Descriptor, error) {
	c, err := packChart(os.DirFS(filepath.Clean(args[0])))
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("packing %s: %w", args[0], err)
	}
	// Helm finds a chart by its name and version; tags cannot contain "+".
	if name, tag := filepath.Base(to.repository), strings.ReplaceAll(c.version, "+", "_"); name != c.name || to.tag != tag {
		return ocispec.Descriptor{}, fmt.Errorf("the chart is %s:%s, and Helm would not find it at %s", c.name, tag, to)
	}
	return registrytest.PushArtifact(ctx, to.host, to.repository, to.tag, chartConfigType, chartLayerType, c.metadata, c.archive)
}

func pushFile(ctx context.Context, to reference, args []string) (ocispec.Descriptor, error) {
	data, err := os.ReadFile(args[0])
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("reading the file: %w", err)
	}
	kind := "application/octet-stream"
	if strings.HasSuffix(args[0], ".json") {
		kind = "application/json"
	}
	return registrytest.PushArtifact(ctx, to.host, to.repository, to.tag, emptyType, kind, []byte("{}"), data)
}

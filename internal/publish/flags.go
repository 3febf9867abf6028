package publish

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/plugin"
	"github.com/nfo-operator/nfo/internal/plugin/logins"
	"github.com/nfo-operator/nfo/internal/plugin/progress"
)

const publishHelp = `Pushes what an ArtifactManifest lists to where it lists it:
<store URL>/<manifest>/<artifactName>:<artifactVersion>.

A SOURCE is
  FILE.tgz                    a chart as 'helm package' makes it, with FILE.tgz.prov if that is there
  oci:FOLDER[:TAG]            an OCI image layout, as skopeo, buildah or 'docker buildx' write it
  oci-archive:FILE.tar[:TAG]  the same as a tar archive, not compressed
  HOST/REPOSITORY:TAG         an image or other artifact in a registry; also with @DIGEST, and with
                              docker:// or oci:// before it

FILE.tgz.prov must be a regular file that holds one clear-signed text, as 'helm package --sign' writes it. A link
to it is not followed, and a link in a layout's folder is not followed out of that folder.

Each goes to the entry that it is for: a chart by its name and version (with _ for +), an image by the
last part of its repository and its tag, a layout by the names that its index.json gives its images: all of
them, or those named TAG. The name of an image that has a tag alone stands for the folder's or file's name with that
tag, or else for the only entry of that version. NAME:VERSION=SOURCE says which entry, whatever the source is called.
What fits no entry, or the same entry twice, is refused, and without TAG an image without a name beside others with one.
All is looked at before anything is pushed.

Digests stay as they are, and an index is copied with all its platforms. What is there already is skipped,
down to single blobs. A tag that is at another digest is refused without --overwrite, and always when
the manifest is sealed or the manager has not seen that digest yet, for then nothing would keep it. (Of a
StoreScoped manifest nothing is kept.) At the end every tag, manifest and blob is verified.

With an image go its satellites, and those of its platforms: signatures, attestations and SBOMs at the tags of cosign
(sha256-HEX.sig, .att, .sbom), and referrers, from the registry's API or its tag sha256-HEX, in a layout from
index.json. They are pushed before the image's tag, counted and verified. --without-signatures leaves them behind.
A tag of cosign's that is at another digest is refused without --overwrite, and always when the manifest is sealed;
nothing keeps what it was at.

Without a source it says what is missing, and where it belongs.

The store's registry and those of sources are logged in to as 'docker login' or 'podman login' have left
it, credential helpers included. Sources are read over https, or over http from a host that --plain-http names;
the registry of the store is spoken to as the store's URL and caBundle say. No login is sent over http, to a
store's registry either, unless --plain-http names the host or it is this machine (localhost, 127.0.0.1, ::1).
A store in the cluster's own registry needs no login: --service-account names the account that pushes, of which the API
server issues a token. Without it your login from 'kubectl nfo login' is used or, if none exists, the bearer token of
your kubeconfig if the API server accepts it for the registry. --registry-address is another address of that registry,
such as 127.0.0.1:5000 of 'kubectl port-forward -n nfo-system service/nfo-registry 5000:443'.

With --mirror the images go into the mirror instead, under the names by which pods use them: that of the image in its
registry, the whole name that a layout gives it, or IMAGE of IMAGE=SOURCE. An Artifact in the namespace of -n, made first,
holds each until a workload uses it or the grace period of the mirror ends; --keep keeps it. It takes the verbs get and
push on the store of the mirror, as the ClusterRole nfo-mirror-publisher has them, and get, create, delete and, for --keep,
patch on Artifacts.

Interrupted, run it again: it goes on.

-o json prints what becomes of every artifact, also when some are refused, which say why in their message
(result Failed; WouldPush is then what would have been pushed). What fails before the tags have been looked
at, such as a source that cannot be read, is on standard error alone.

Exit codes:
  0  what was given is where it belongs; without a source: nothing is missing
  1  something failed, was refused or, without a source, is missing: standard error says what
  2  wrong usage, such as a source that fits no entry; nothing was pushed`

const publishExample = `  # What is missing?
  kubectl nfo publish am/upf-1.0.0 -n publisher

  # Push a chart, an image layout, and an image from another registry
  kubectl nfo publish am/upf-1.0.0 upf-1.0.0.tgz oci:./upf-control:1.0.0 docker.io/library/nginx:1.25

  # An image that is called otherwise
  kubectl nfo publish am/upf-1.0.0 upf-datapath:1.0.0=ci.example.com/build/dp:4711 --dry-run

  # Push to the cluster's own registry as the account ci
  kubectl nfo publish am/upf-1.0.0 upf-1.0.0.tgz -n publisher --service-account ci

  # Take what 'kubectl nfo images --export site.tar' has exported elsewhere into the mirror
  kubectl nfo publish --mirror oci-archive:site.tar -n ran --service-account loader`

// publishFlags holds the flags of `kubectl nfo publish`.
type publishFlags struct {
	logins.Flags
	overwrite, dryRun, quiet bool
	storeCredentials         bool
	withoutSatellites        bool
	mirror, keep             bool
	mirrorNamespace          string
	// mirrorNamespaceGiven is set if the flag is on the command line.
	mirrorNamespaceGiven bool
	output               string
	streams              genericiooptions.IOStreams
}

// NewCommand returns the command `kubectl nfo publish`.
func NewCommand(streams genericiooptions.IOStreams, config *genericclioptions.ConfigFlags) *cobra.Command {
	flags := &publishFlags{Flags: logins.Flags{Config: config}, streams: streams}
	cmd := &cobra.Command{
		Use:     "publish (am/NAME [[ARTIFACTNAME:VERSION=]SOURCE...] | --mirror [IMAGE=]SOURCE...)",
		Short:   "Push charts and images to where a manifest lists them, or images into the mirror",
		Long:    publishHelp,
		Example: publishExample,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 && flags.mirror {
				return plugin.Usage("no source is given: which images are to be copied into the mirror?")
			}
			if len(args) == 0 {
				return plugin.Usage("the first argument is a manifest: am/NAME")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			flags.mirrorNamespaceGiven = cmd.Flags().Changed("mirror-namespace")
			return flags.run(cmd.Context(), args)
		},
	}
	flags.register(cmd)
	return cmd
}

func (f *publishFlags) register(cmd *cobra.Command) {
	set := cmd.Flags()
	set.BoolVar(&f.dryRun, "dry-run", false, "say what would be pushed, and write nothing")
	set.BoolVar(&f.overwrite, "overwrite", false, "replace tags that are at another digest, if the manifest is not sealed and the manager has seen that digest, so that a tombstone keeps it; with --mirror, for all namespaces")
	set.BoolVar(&f.storeCredentials, "use-store-credentials", false, "log in to the store's registry with the Secret that the store names, which takes the right to read it")
	set.StringVar(&f.Account, "service-account", "", "push to the cluster's own registry as this ServiceAccount, NAME of the store's namespace or NAMESPACE:NAME, which takes the right to create its tokens")
	set.StringVar(&f.Address, "registry-address", "", "host:port at which the cluster's own registry is reached from here; default: that of the store's status.url")
	set.BoolVar(&f.withoutSatellites, "without-signatures", false, "leave signatures, attestations and SBOMs of images behind")
	set.StringSliceVar(&f.PlainHosts, "plain-http", nil, "HOST[:PORT] of a registry that speaks plain HTTP, and that is sent your login unencrypted; can be given several times")
	set.StringSliceVar(&f.PlainHosts, "source-plain-http", nil, "the same")
	_ = set.MarkDeprecated("source-plain-http", "use --plain-http")
	set.BoolVar(&f.mirror, "mirror", false, "copy images into the mirror under the names by which pods use them, instead of publishing a manifest")
	set.BoolVar(&f.keep, "keep", false, "with --mirror: keep the copies although no workload uses them yet, by the annotation "+v1alpha1.AnnotationKeep)
	set.StringVar(&f.mirrorNamespace, "mirror-namespace", v1alpha1.ManagerNamespace, "with --mirror: the operator's namespace, in which the store of the mirror is")
	set.BoolVarP(&f.quiet, "quiet", "q", false, "show no progress")
	set.StringVarP(&f.output, "output", "o", "table", "table or json")
}

// check refuses invalid flags and flags that exclude each other.
func (f *publishFlags) check() error {
	switch {
	case f.output != "table" && f.output != "json":
		return plugin.Usage("--output is table or json, not %q", f.output)
	case f.Account != "" && f.storeCredentials:
		return plugin.Usage("give one of --service-account and --use-store-credentials")
	case f.mirror && f.storeCredentials:
		return plugin.Usage("--mirror and --use-store-credentials exclude each other")
	case f.keep && !f.mirror:
		return plugin.Usage("--keep needs --mirror")
	case f.mirrorNamespaceGiven && !f.mirror:
		return plugin.Usage("--mirror-namespace needs --mirror")
	}
	return f.Check()
}

func (f *publishFlags) run(ctx context.Context, args []string) error {
	if err := f.check(); err != nil {
		return err
	}
	manifest, saysEntry := "", entryPattern.MatchString
	if f.mirror {
		saysEntry = isImage
	} else {
		manifest, args = args[0], args[1:]
	}
	named, err := parseSources(args, saysEntry)
	if err != nil {
		return err
	}
	t, err := f.open(ctx, manifest)
	if err != nil {
		return unpushed(err, named)
	}
	defer t.client.Close()
	opener := &opener{flags: f, target: t}
	defer opener.close()
	found, err := opener.open(ctx, named)
	if err != nil {
		return err
	}
	p, err := newPublication(t, found)
	if err != nil {
		return &plugin.Error{Code: plugin.ExitUsage, Err: err}
	}
	return f.publish(ctx, p, named)
}

// open opens the registry of a manifest's store, or the mirror.
func (f *publishFlags) open(ctx context.Context, manifest string) (*target, error) {
	if f.mirror {
		return f.openMirror(ctx)
	}
	return f.target(ctx, manifest)
}

// publish reads the sources and the tags, decides, pushes unless it is a dry run, and reports the results.
func (f *publishFlags) publish(ctx context.Context, p *publication, named []sourceArgument) error {
	p.withoutSatellites = f.withoutSatellites
	if err := p.inspectAll(ctx); err != nil {
		return unpushed(&plugin.Error{Code: plugin.ExitFailed, Err: err}, named)
	}
	if err := p.decide(f.overwrite); err != nil {
		return f.refused(p, err)
	}
	if !f.dryRun && p.sources() > 0 {
		if err := p.hold(ctx, f.keep); err != nil {
			return f.refused(p, unpushed(err, named))
		}
		bars := progress.New(f.streams.ErrOut, f.quiet, progress.Words{Doing: "pushing", Done: "pushed"})
		p.execute(ctx, bars)
		bars.Wait()
	}
	if err := p.write(f.streams.Out, f.output); err != nil {
		return plugin.Printed(err)
	}
	if err := p.outcome(ctx); err != nil {
		return &plugin.Error{Code: plugin.ExitFailed, Err: err}
	}
	p.advise(f.streams.ErrOut)
	return nil
}

// refused returns the error for artifacts that are not pushed because of err. With -o json it prints all of them.
func (f *publishFlags) refused(p *publication, err error) error {
	if f.output == "json" {
		err = errors.Join(err, p.write(f.streams.Out, f.output))
	}
	return &plugin.Error{Code: plugin.ExitFailed, Err: err}
}

// unpushed adds to an error that nothing was pushed, if the command line has sources.
func unpushed(err error, sources []sourceArgument) error {
	if len(sources) == 0 {
		return err
	}
	return fmt.Errorf("%w; nothing was pushed", err)
}

package images

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/plugin"
	"github.com/nfo-operator/nfo/internal/plugin/logins"
	"github.com/nfo-operator/nfo/internal/plugin/running"
	"github.com/nfo-operator/nfo/internal/reference"
)

const imagesHelp = `Lists the images of the stores of a namespace: those that manifests list, and those that workloads use. Each
line says which manifest lists the image, what holds it, and one state:

  InUse      a manifest lists it, and a definition, a design or a workload holds it
  Unused     a manifest lists it, and nothing holds it
  NotListed  a workload uses it, and no manifest lists it
  Unknown    a manifest lists it and nothing is known to hold it, but not all that workloads run could be read

Workloads count for stores with spec.workloads. They are read from the cluster with your rights, as it is now;
no registry is asked and no Secret is read. Images of other registries are not listed.

With --mirror it lists what is mirrored for the namespace instead: the Artifacts, each with its state and how many
workloads use it. With -o name each image reference is on a line of its own, once: what a site needs, as other tools
copy it.

With --export the images of these Artifacts are copied from the mirror into an OCI image layout: into a tar archive if
the name ends in .tar, or else into a folder. Each has its whole name, its digest, the platforms that the mirror has, and
its signatures, attestations and SBOMs. On the other side, 'kubectl nfo publish --mirror oci-archive:NAME.tar' or
oci:NAME takes them in. What the folder or archive has already is not read again; a folder keeps what an interrupted
export has written. It takes the verbs get and pull on the store of the mirror, as the ClusterRole nfo-mirror-publisher
has them.

Exit codes:
  0  this is the answer
  1  something failed: the store does not exist, the cluster cannot be asked, the answer is incomplete, or the mirror does
     not have all that is to be exported; what it has is exported then
  2  wrong usage`

const imagesExample = `  # What do the stores of this namespace have, and who uses it?
  kubectl nfo images -n publisher

  # What does one store have that nothing holds?
  kubectl nfo images -n publisher --store acme --unused

  # What does this site need? One image reference a line
  kubectl nfo images --mirror -A -o name

  # Copy all of it into a file, to carry it to another site
  kubectl nfo images -A --export site.tar --service-account loader

  # The same for programs, of all namespaces
  kubectl nfo images -A -o json`

// imagesFlags are the command-line flags of `kubectl nfo images`.
type imagesFlags struct {
	everywhere bool
	store      string
	unused     bool
	mirror     bool
	output     string
	logins.Flags
	export            string
	mirrorNamespace   string
	withoutSatellites bool
	quiet             bool
	streams           genericiooptions.IOStreams
}

// NewCommand returns the command `kubectl nfo images`.
func NewCommand(streams genericiooptions.IOStreams, config *genericclioptions.ConfigFlags) *cobra.Command {
	flags := &imagesFlags{Flags: logins.Flags{Config: config}, streams: streams}
	cmd := &cobra.Command{
		Use:     "images",
		Short:   "List the images of stores, and what lists and uses them",
		Long:    imagesHelp,
		Example: imagesExample,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return plugin.Usage("unexpected argument %q", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := flags.validate(cmd.Flags().Changed); err != nil {
				return err
			}
			return flags.run(cmd.Context())
		},
	}
	flags.register(cmd)
	return cmd
}

func (f *imagesFlags) register(cmd *cobra.Command) {
	set := cmd.Flags()
	set.BoolVarP(&f.everywhere, "all-namespaces", "A", false, "list the stores of all namespaces")
	set.StringVar(&f.store, "store", "", "name of the store to list; default: all")
	set.BoolVar(&f.unused, "unused", false, "list only what manifests list and nothing holds, or with --mirror the Artifacts that nothing uses")
	set.BoolVar(&f.mirror, "mirror", false, "list the Artifacts: the images that workloads need and that are mirrored")
	set.StringVar(&f.export, "export", "", "copy what the mirror has of the Artifacts into this OCI image layout: a tar archive if it ends in .tar, or else a folder; implies --mirror")
	set.BoolVar(&f.withoutSatellites, "without-signatures", false, "with --export: leave signatures, attestations and SBOMs of images behind")
	set.StringVar(&f.mirrorNamespace, "mirror-namespace", v1alpha1.ManagerNamespace, "with --export: the operator's namespace, in which the store of the mirror is")
	set.StringVar(&f.Account, "service-account", "", "with --export: pull from the mirror as this ServiceAccount, NAME of its namespace or NAMESPACE:NAME, which takes the right to create its tokens")
	set.StringVar(&f.Address, "registry-address", "", "with --export: host:port at which the cluster's own registry is reached from here; default: that of the store's status.url")
	set.StringSliceVar(&f.PlainHosts, "plain-http", nil, "with --export: HOST[:PORT] of a registry that is sent your login unencrypted")
	set.BoolVarP(&f.quiet, "quiet", "q", false, "with --export: show no progress")
	set.StringVarP(&f.output, "output", "o", "table", "table or json, or with --mirror name: one image reference a line")
}

// exportOnly are the flags that have no effect without --export.
var exportOnly = []string{"without-signatures", "mirror-namespace", "service-account", "registry-address", "plain-http", "quiet"}

// validate rejects a wrong command line. given reports whether a flag was given.
func (f *imagesFlags) validate(given func(flag string) bool) error {
	f.mirror = f.mirror || f.export != ""
	if n := slices.IndexFunc(exportOnly, given); f.export == "" && n >= 0 && !given("export") {
		return plugin.Usage("--%s needs --export", exportOnly[n])
	}
	switch {
	case f.export == "" && given("export"):
		return plugin.Usage("--export is empty: give the name of a folder, or of a tar archive that ends in .tar")
	case f.output == "name" && f.export != "":
		return plugin.Usage("--export prints a table or json")
	case f.output == "name" && !f.mirror:
		return plugin.Usage("--output name needs --mirror")
	case f.output != "table" && f.output != "json" && f.output != "name":
		return plugin.Usage("--output is table, json or name, not %q", f.output)
	case f.mirror && f.store != "":
		return plugin.Usage("--store and --mirror exclude each other")
	}
	return f.Check()
}

func (f *imagesFlags) run(ctx context.Context) error {
	namespace, _, err := f.Config.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return &plugin.Error{Code: plugin.ExitFailed, Err: fmt.Errorf("finding the namespace: %w", err)}
	}
	if f.everywhere {
		namespace = ""
	}
	api, err := plugin.Connect(f.Config, f.streams)
	if err != nil {
		return &plugin.Error{Code: plugin.ExitFailed, Err: err}
	}
	if f.export != "" {
		return f.exportMirrored(ctx, api, namespace)
	}
	if f.mirror {
		return f.listMirrored(ctx, api, namespace)
	}
	runs, err := running.NewReader(f.Config)
	if err != nil {
		return &plugin.Error{Code: plugin.ExitFailed, Err: err}
	}
	var w writer = &table{out: f.streams.Out, unused: f.unused}
	if f.output == "json" {
		w = &document{out: f.streams.Out}
	}
	complete, err := list(ctx, api, runs, question{namespace: namespace, store: f.store, unused: f.unused}, w)
	if err != nil {
		return &plugin.Error{Code: plugin.ExitFailed, Err: err}
	}
	if !complete {
		return &plugin.Error{Code: plugin.ExitFailed} // the output says what is missing
	}
	return nil
}

func (f *imagesFlags) listMirrored(ctx context.Context, api client.Reader, namespace string) error {
	all, err := needed(ctx, api, namespace, f.unused)
	if err == nil {
		err = writeMirrored(f.streams.Out, f.output, all)
	}
	if err != nil {
		return &plugin.Error{Code: plugin.ExitFailed, Err: err}
	}
	return nil
}

// question selects what is listed. An empty namespace or store means all.
type question struct {
	namespace, store string
	unused           bool
}

// writer writes one store after another.
type writer interface {
	store(stored) error
	end() error
}

// list writes the images of each selected store, and reports whether everything could be read.
func list(ctx context.Context, api client.Reader, runs running.Reader, q question, to writer) (complete bool, err error) {
	stores, err := storesOf(ctx, api, q)
	if err != nil {
		return false, err
	}
	complete = true
	var at *place
	for i := range stores {
		s := &stores[i]
		if at == nil || at.namespace != s.Namespace {
			if at, err = read(ctx, api, s.Namespace); err != nil {
				return false, err
			}
		}
		r, err := runs.Of(ctx, s)
		if err != nil {
			return false, err
		}
		all := at.images(s, r)
		all.Images = slices.DeleteFunc(all.Images, func(i image) bool { return q.unused && i.State != unused })
		complete = complete && all.Incomplete == ""
		if err := to.store(all); err != nil {
			return false, err
		}
	}
	return complete, to.end()
}

// storesOf returns the selected stores, sorted by namespace and name.
func storesOf(ctx context.Context, api client.Reader, q question) ([]v1alpha1.ArtifactStore, error) {
	var stores v1alpha1.ArtifactStoreList
	if err := api.List(ctx, &stores, client.InNamespace(q.namespace)); err != nil {
		return nil, fmt.Errorf("listing artifactstores: %w", err)
	}
	all := slices.DeleteFunc(stores.Items, func(s v1alpha1.ArtifactStore) bool { return q.store != "" && s.Name != q.store })
	switch {
	case len(all) > 0:
	case q.store != "" && q.namespace == "":
		return nil, fmt.Errorf("no namespace has an ArtifactStore %s", q.store)
	case q.store != "":
		return nil, fmt.Errorf("%s does not exist", v1alpha1.ResourceID(v1alpha1.KindArtifactStore, q.namespace, q.store))
	}
	slices.SortFunc(all, func(a, b v1alpha1.ArtifactStore) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return all, nil
}

// place has the manifests of one namespace, and the objects that hold them.
type place struct {
	namespace string
	manifests []*v1alpha1.ArtifactManifest
	naming    reference.Naming
}

func read(ctx context.Context, api client.Reader, namespace string) (*place, error) {
	s, err := reference.Read(ctx, api, namespace)
	if err != nil {
		return nil, fmt.Errorf("reading what is in the namespace %s: %w", namespace, err)
	}
	return &place{namespace: namespace, manifests: s.Manifests(), naming: s.Naming()}, nil
}

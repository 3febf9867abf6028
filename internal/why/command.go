package why

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/plugin"
	"github.com/nfo-operator/nfo/internal/plugin/running"
	"github.com/nfo-operator/nfo/internal/reference"
)

const whyHelp = `Says what keeps an object or an image, up to what nothing keeps in its turn, such as a site.

KIND/NAME is an object of the namespace: am/upf-1.0.0. An image is HOST/REPOSITORY:TAG or
HOST/REPOSITORY@DIGEST. Both are looked up in the cluster, as it is now; no registry is asked and no Secret
is read. What a registry alone shows, such as an index that lists an image, is in the report of
'nfo purge --dry-run'.

A name in the mirror, as pods that pull from there have it, is answered from the Artifacts of the image.

If the store has spec.workloads, the workloads that use something keep it too. They are read with your
rights. Where you may not, what nfo itself saw last is used, and "Incomplete" says so.

Exit codes:
  0  this is the answer
  1  something failed: the object does not exist, or the cluster cannot be asked
  2  wrong usage`

const whyExample = `  # Why can this manifest not be deleted?
  kubectl nfo why am/upf-1.0.0 -n publisher

  # Who uses this mirrored image, and until when does its copy stay?
  kubectl nfo why art/upf-1.0.0-0123456789 -n ran

  # Who needs this image, and until when can it come back?
  kubectl nfo why registry.example.com/acme/upf-1.0.0/upf:1.0.0`

// whyFlags are the command-line flags of `kubectl nfo why`.
type whyFlags struct {
	output  string
	config  *genericclioptions.ConfigFlags
	streams genericiooptions.IOStreams
}

// NewCommand returns the command `kubectl nfo why`.
func NewCommand(streams genericiooptions.IOStreams, config *genericclioptions.ConfigFlags) *cobra.Command {
	flags := &whyFlags{config: config, streams: streams}
	cmd := &cobra.Command{
		Use:     "why KIND/NAME | IMAGE",
		Short:   "Say what keeps an object or an image, up to the roots",
		Long:    whyHelp,
		Example: whyExample,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return plugin.Usage("one argument is needed: KIND/NAME, or HOST/REPOSITORY with :TAG or @DIGEST")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return flags.run(cmd.Context(), args[0]) },
	}
	cmd.Flags().StringVarP(&flags.output, "output", "o", "tree", "tree or json")
	return cmd
}

func (f *whyFlags) run(ctx context.Context, what string) error {
	if f.output != "tree" && f.output != "json" {
		return plugin.Usage("--output is tree or json, not %q", f.output)
	}
	ask := f.object
	if strings.ContainsAny(what, ":@") {
		ask = f.image
	} else if parts := strings.Split(what, "/"); len(parts) != 2 || parts[0] == "" || parts[1] == "" {
		return plugin.Usage("%q is neither KIND/NAME nor an image with a tag or digest", what)
	}
	answer, err := ask(ctx, what)
	if err != nil {
		return err
	}
	return f.print(answer)
}

func (f *whyFlags) print(a *answer) error { return plugin.Print(f.streams.Out, f.output, a, a.write) }

// object answers what keeps one object.
func (f *whyFlags) object(ctx context.Context, what string) (*answer, error) {
	resource, name, _ := strings.Cut(what, "/")
	api, namespace, kind, err := plugin.ConnectFor(f.config, f.streams, resource)
	if err != nil {
		return nil, err
	}
	if kind == v1alpha1.KindArtifact {
		return f.artifact(ctx, api, namespace, name)
	}
	e, err := gather(ctx, api, namespace)
	if err != nil {
		return nil, &plugin.Error{Code: plugin.ExitFailed, Err: err}
	}
	o := reference.Object{Kind: kind, Namespace: namespace, Name: name}
	if err := f.readWorkloads(ctx, e, e.concerned(o)...); err != nil {
		return nil, err
	}
	a, found := e.aboutObject(o)
	if !found {
		return nil, &plugin.Error{Code: plugin.ExitFailed, Err: fmt.Errorf("%s does not exist, and no tombstone is of it", v1alpha1.ResourceID(kind, namespace, name))}
	}
	return a, nil
}

// image answers what keeps an image.
func (f *whyFlags) image(ctx context.Context, what string) (*answer, error) {
	i, err := parseImage(what)
	if err != nil {
		return nil, plugin.Usage("%w", err)
	}
	api, err := plugin.Connect(f.config, f.streams)
	if err != nil {
		return nil, &plugin.Error{Code: plugin.ExitFailed, Err: err}
	}
	namespace, _, err := f.config.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return nil, &plugin.Error{Code: plugin.ExitFailed, Err: fmt.Errorf("finding the namespace: %w", err)}
	}
	stores, unseen, err := anywhere(ctx, api, namespace, &v1alpha1.ArtifactStoreList{}, "artifactstores")
	if err != nil {
		return nil, &plugin.Error{Code: plugin.ExitFailed, Err: err}
	}
	all := stores.(*v1alpha1.ArtifactStoreList).Items
	if a, err := i.mirrored(ctx, api, namespace, all); err != nil {
		return nil, &plugin.Error{Code: plugin.ExitFailed, Err: err}
	} else if a != nil {
		return a, nil
	}
	store := i.in(all)
	if store == nil {
		i, store = i.alias(all)
	}
	if store == nil {
		return i.elsewhere(unseen), nil
	}
	e, err := gather(ctx, api, store.Namespace)
	if err != nil {
		return nil, &plugin.Error{Code: plugin.ExitFailed, Err: err}
	}
	if err := f.readWorkloads(ctx, e, store); err != nil {
		return nil, err
	}
	return e.aboutImage(i, store), nil
}

// readWorkloads reads, with the rights of the user, what the workloads run that the stores select.
func (f *whyFlags) readWorkloads(ctx context.Context, e *evidence, stores ...*v1alpha1.ArtifactStore) error {
	r, err := running.NewReader(f.config)
	if err == nil {
		err = e.readWorkloads(ctx, r, stores...)
	}
	if err != nil {
		return &plugin.Error{Code: plugin.ExitFailed, Err: err}
	}
	return nil
}

// gather reads everything that can keep an object of one namespace, as it is now.
func gather(ctx context.Context, api client.Client, namespace string) (*evidence, error) {
	e := &evidence{namespace: namespace, now: time.Now()}
	snapshot, err := reference.Read(ctx, api, namespace)
	if err != nil {
		return nil, fmt.Errorf("reading what is in the namespace %s: %w", namespace, err)
	}
	sites, unseen, err := anywhere(ctx, api, namespace, &v1alpha1.SiteNetworkServiceList{}, "sitenetworkservices")
	if err != nil {
		return nil, err
	}
	items := sites.(*v1alpha1.SiteNetworkServiceList).Items
	for i := range items {
		snapshot[v1alpha1.KindSite] = append(snapshot[v1alpha1.KindSite], &items[i])
	}
	if unseen != "" {
		e.unseen = append(e.unseen, unseen)
	}
	var stores v1alpha1.ArtifactStoreList
	if err := api.List(ctx, &stores, client.InNamespace(namespace)); err != nil {
		return nil, fmt.Errorf("reading the stores of the namespace %s: %w", namespace, err)
	}
	var tombstones v1alpha1.TombstoneList
	if err := api.List(ctx, &tombstones, client.InNamespace(namespace)); err != nil {
		return nil, fmt.Errorf("reading the tombstones of the namespace %s: %w", namespace, err)
	}
	e.stores, e.tombstones = stores.Items, tombstones.Items
	e.use(snapshot)
	return e, nil
}

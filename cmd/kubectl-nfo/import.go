package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/cli-runtime/pkg/printers"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/aosm"
	"github.com/nfo-operator/nfo/internal/aosm/finding"
	"github.com/nfo-operator/nfo/internal/aosm/input"
	"github.com/nfo-operator/nfo/internal/plugin"
)

const importHelp = `Reads resources of Azure Operator Service Manager and applies the objects that they become.

FILE is a deployment template, what 'az ... show' or 'az ... list' prints, an answer of the REST API, or a
parameter file; several can follow each other on standard input. A directory is all of its files that end in
.json. All files are read as one input, in any order. A parameter file NAME.parameters.json gives its values to
the template NAME.json beside it; any other one, to all templates.

A publisher becomes a namespace, with its stores, manifests, definitions and designs; a site goes to the namespace of its design.

Everything that has no counterpart, or that the files alone cannot decide, is reported on standard error with its
JSON path. Nothing is guessed: a manifest is not imported if not all of its artifacts can be decided, or if its API
version is unknown.

An import can be repeated, with answers and templates in any order. An existing object keeps its name, the URL of its registry,
the most complete id that was imported, and any state that the files do not contain. An import does not take entries out of the list of a
manifest that is there, which would release their tags, nor out of a definition, design or site what it names and so holds:
it says which, and leaves that object as it is. With --allow-removal it takes them out. What has been migrated to the form of
the API version 2025-03-30 is left as it is where the file has the old form.

With --output the objects are printed and nothing is applied, unless --dry-run says otherwise.

Exit codes:`

const importExample = `  # What would it be? (prints YAML, changes nothing)
  kubectl nfo import -f template.json --parameters @parameters.json --registry main=https://registry.example.com/acme -o yaml

  # Apply the files of az aosm, and the values beside them
  kubectl nfo import -f base.json -f manifest.json -f definition.json -f all_deploy.parameters.json --registry main=https://registry.example.com/acme

  # From what Azure has, which does not say its API version
  az aosm publisher artifact-manifest list -g rg --publisher-name contoso --artifact-store-name main --output json | kubectl nfo import -f - --api-version 2025-03-30`

// importFlags holds the flags of 'kubectl nfo import'.
type importFlags struct {
	files                  []string
	recursive              bool
	parameters, registries []string
	apiVersions            []string
	siteNamespace          string
	dryRun                 string
	forceConflicts         bool
	allowRemoval           bool
	print                  *genericclioptions.PrintFlags
	config                 *genericclioptions.ConfigFlags
	streams                genericiooptions.IOStreams
}

func newImportCommand(streams genericiooptions.IOStreams, config *genericclioptions.ConfigFlags) *cobra.Command {
	flags := &importFlags{print: genericclioptions.NewPrintFlags("serverside-applied"), config: config, streams: streams}
	cmd := &cobra.Command{
		Use:     "import -f FILE...",
		Short:   "Apply what AOSM's templates and answers describe",
		Long:    importHelp + exitHelp(),
		Example: importExample,
		Args:    noArguments,
		RunE:    func(cmd *cobra.Command, _ []string) error { return flags.run(cmd.Context()) },
	}
	f := cmd.Flags()
	f.StringSliceVarP(&flags.files, "filename", "f", nil, "file or directory to read, - for standard input; can be given several times (required)")
	f.BoolVarP(&flags.recursive, "recursive", "R", false, "read the directories in directories, too")
	f.StringArrayVar(&flags.parameters, "parameters", nil, "a value for a parameter of a template, NAME=VALUE, or @FILE for a parameter file; can be given several times")
	f.StringArrayVar(&flags.registries, "registry", nil, "the URL of a store's registry, STORE=https://HOST[/PATH], which templates do not say; PUBLISHER/STORE where several publishers have a store of the name; can be given several times")
	f.StringArrayVar(&flags.apiVersions, "api-version", nil, "the API version that the resources of answers were made with, such as 2025-03-30, which answers do not say; NAME=DATE for the manifests of one store, STORE or PUBLISHER/STORE, or for one, PUBLISHER/STORE/MANIFEST; can be given several times")
	f.StringVar(&flags.siteNamespace, "site-namespace", "", "namespace for sites; default: each in that of its design")
	f.StringVar(&flags.dryRun, "dry-run", "", `"none", "client" (nothing is sent) or "server" (nothing is stored); default: none, with --output client`)
	f.BoolVar(&flags.forceConflicts, "force-conflicts", false, "take over fields that somebody else has set")
	f.BoolVar(&flags.allowRemoval, "allow-removal", false, "release what an object of the cluster lists or names and the file does not")
	flags.print.AddFlags(cmd)
	return cmd
}

func noArguments(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return plugin.Usage("unexpected argument %q", args[0])
	}
	return nil
}

func (f *importFlags) run(ctx context.Context) error {
	options, err := f.options()
	if err != nil {
		return err
	}
	printer, err := f.printer()
	if err != nil {
		return &plugin.Error{Code: plugin.ExitUsage, Err: err}
	}
	sources, err := f.sources()
	if err != nil {
		return &plugin.Error{Code: plugin.ExitFailed, Err: err}
	}
	var cluster *applier
	if f.dryRun != "client" {
		if cluster, err = f.connect(); err != nil {
			return err
		}
	}
	return f.importInto(ctx, cluster, sources, options, printer)
}

// importInto imports files into a cluster. If cluster is nil, it only prints the objects.
func (f *importFlags) importInto(ctx context.Context, cluster *applier, sources []input.Source, options aosm.Options, printer printers.ResourcePrinter) error {
	result, err := aosm.ImportAll(sources, options)
	if err != nil {
		return &plugin.Error{Code: plugin.ExitFailed, Err: fmt.Errorf("importing %s: %w", strings.Join(f.files, ", "), err)}
	}
	if cluster != nil {
		if result, err = cluster.repeatImport(ctx, result, sources, options); err != nil {
			return &plugin.Error{Code: plugin.ExitFailed, Err: err}
		}
	}
	tellFindings(f.streams.ErrOut, result.Findings)
	if err := f.deliver(ctx, result, cluster, printer); err != nil {
		return err
	}
	if cluster.lost() || slices.ContainsFunc(result.Findings, func(x finding.Finding) bool { return x.Level == finding.NotMapped }) {
		return &plugin.Error{Code: plugin.ExitNotMapped}
	}
	return nil
}

// options checks the flags, and returns the options of the import.
func (f *importFlags) options() (aosm.Options, error) {
	o := aosm.Options{Namespace: *f.config.Namespace, SiteNamespace: f.siteNamespace, Registries: map[string]string{}, APIVersions: map[string]string{}}
	if f.dryRun == "" {
		f.dryRun = "none"
		if *f.print.OutputFormat != "" {
			f.dryRun = "client"
		}
	}
	if err := f.check(o); err != nil {
		return o, err
	}
	for _, pair := range f.registries {
		if err := registryOf(&o, pair); err != nil {
			return o, err
		}
	}
	for _, given := range f.apiVersions {
		if err := apiVersionOf(&o, given); err != nil {
			return o, err
		}
	}
	for _, p := range f.parameters {
		if err := parameter(&o.Parameters, p); err != nil {
			return o, err
		}
	}
	return o, nil
}

// registryOf parses one --registry.
func registryOf(o *aosm.Options, pair string) error {
	store, url, ok := strings.Cut(pair, "=")
	if !ok || store == "" || strings.Count(store, "/") > 1 {
		return plugin.Usage("--registry is STORE=URL or PUBLISHER/STORE=URL, not %q", pair)
	}
	if _, err := v1alpha1.ParseRegistryURL(url); err != nil {
		return plugin.Usage("--registry %s: %w", store, err)
	}
	store = strings.ToLower(store)
	if other, again := o.Registries[store]; again && other != url {
		return plugin.Usage("--registry gives %s two URLs, %s and %s; PUBLISHER/STORE=URL tells stores of one name apart", store, other, url)
	}
	o.Registries[store] = url
	return nil
}

// apiVersionOf parses one --api-version.
func apiVersionOf(o *aosm.Options, given string) error {
	name, date, one := strings.Cut(given, "=")
	if !one {
		name, date = "", given
	}
	switch {
	case !aosm.IsAPIVersion(date):
		return plugin.Usage("--api-version is a date such as 2025-03-30, or NAME=DATE, not %q", given)
	case one && (name == "" || strings.Count(name, "/") > 2):
		return plugin.Usage("--api-version is for STORE, PUBLISHER/STORE or PUBLISHER/STORE/MANIFEST, not %q", name)
	case one:
		name = strings.ToLower(name)
		if other, again := o.APIVersions[name]; again && other != date {
			return plugin.Usage("--api-version gives %s two dates, %s and %s; PUBLISHER/STORE=DATE tells stores of one name apart", name, other, date)
		}
		o.APIVersions[name] = date
	case o.APIVersion != "" && o.APIVersion != date:
		return plugin.Usage("--api-version is given twice; NAME=DATE is for one store")
	default:
		o.APIVersion = date
	}
	return nil
}

func (f *importFlags) check(o aosm.Options) error {
	switch {
	case len(f.files) == 0 || slices.Contains(f.files, ""):
		return plugin.Usage("-f is required: a file or directory to import, or - for standard input")
	case !slices.Contains([]string{"none", "client", "server"}, f.dryRun):
		return plugin.Usage("--dry-run takes none, client or server, not %q", f.dryRun)
	}
	for i, name := range f.files {
		if slices.Contains(f.files[:i], name) {
			return plugin.Usage("-f %s is given twice", name)
		}
	}
	for _, namespace := range []string{o.Namespace, o.SiteNamespace} {
		if problems := validation.IsDNS1123Label(namespace); namespace != "" && len(problems) > 0 {
			return plugin.Usage("%q is not a name of a namespace: %s", namespace, problems[0])
		}
	}
	return nil
}

func parameter(into *input.Parameters, p string) error {
	name, ok := strings.CutPrefix(p, "@")
	if !ok {
		if err := into.Set(p); err != nil {
			return plugin.Usage("--parameters: %w", err)
		}
		return nil
	}
	file, err := os.Open(name)
	if err != nil {
		return &plugin.Error{Code: plugin.ExitFailed, Err: err}
	}
	defer func() { _ = file.Close() }() // only read
	if err := into.Read(file); err != nil {
		return &plugin.Error{Code: plugin.ExitFailed, Err: fmt.Errorf("reading the parameters in %s: %w", name, err)}
	}
	return nil
}

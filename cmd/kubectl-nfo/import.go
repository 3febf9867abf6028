package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/aosm"
)

const importHelp = `Reads resources of Azure Operator Service Manager and applies the objects that they become.

FILE is a deployment template, what 'az ... show' or 'az ... list' prints, or an answer of the REST API;
several can follow each other on standard input. A publisher becomes a namespace, with its stores,
manifests, definitions and designs; a site goes to the namespace of its design.

Everything that has no counterpart, or that the file alone cannot decide, is told on standard error,
with its JSON path. Nothing is guessed: a manifest is left out if not all of its artifacts can be decided.

An import again adds and changes. It does not take entries out of the list of a manifest that is there,
which would release their tags, nor out of a definition, design or site what it names and so holds: it says
which, and leaves that object as it is. With --allow-removal it takes them out. What has been migrated to the form of the API version 2025-03-30 is left as it is where the
file has the old form.

With --output the objects are printed and nothing is applied, unless --dry-run says otherwise.

Exit codes:
  0  everything that matters here was mapped
  1  something failed: the file cannot be used, or the cluster did not take an object
  2  wrong usage
  3  all went well, but something was not mapped: standard error says what`

const importExample = `  # What would it be? (prints YAML, changes nothing)
  kubectl nfo import -f template.json --parameters @parameters.json --registry main=https://registry.example.com/acme -o yaml

  # Apply it
  kubectl nfo import -f template.json --parameters version=1.0.0 --registry main=https://registry.example.com/acme

  # From what Azure has
  az aosm publisher artifact-manifest list -g rg --publisher-name contoso --artifact-store-name main | kubectl nfo import -f -`

// importFlags are the command line of `kubectl nfo import`.
type importFlags struct {
	file                   string
	parameters, registries []string
	apiVersion             string
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
		Use:     "import -f FILE",
		Short:   "Apply what AOSM's templates and answers describe",
		Long:    importHelp,
		Example: importExample,
		Args:    noArguments,
		RunE:    func(cmd *cobra.Command, _ []string) error { return flags.run(cmd.Context()) },
	}
	f := cmd.Flags()
	f.StringVarP(&flags.file, "filename", "f", "", "file to read, - for standard input (required)")
	f.StringArrayVar(&flags.parameters, "parameters", nil, "a value for a parameter of a template, NAME=VALUE, or @FILE for a parameter file; can be given several times")
	f.StringArrayVar(&flags.registries, "registry", nil, "the URL of a store's registry, STORE=https://HOST[/PATH], which templates do not say; can be given several times")
	f.StringVar(&flags.apiVersion, "api-version", "", "the API version that the resources of answers were made with, such as 2025-03-30, which answers do not say")
	f.StringVar(&flags.siteNamespace, "site-namespace", "", "namespace for sites; default: each in that of its design")
	f.StringVar(&flags.dryRun, "dry-run", "", `"none", "client" (nothing is sent) or "server" (nothing is stored); default: none, with --output client`)
	f.BoolVar(&flags.forceConflicts, "force-conflicts", false, "take over fields that somebody else has set")
	f.BoolVar(&flags.allowRemoval, "allow-removal", false, "let go of what an object of the cluster lists or names and the file does not")
	flags.print.AddFlags(cmd)
	return cmd
}

func noArguments(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage("unexpected argument %q", args[0])
	}
	return nil
}

func (f *importFlags) run(ctx context.Context) error {
	options, err := f.options()
	if err != nil {
		return err
	}
	data, err := f.read()
	if err != nil {
		return &exitError{exitFailed, err}
	}
	result, err := aosm.Import(bytes.NewReader(data), options)
	if err != nil {
		return &exitError{exitFailed, fmt.Errorf("importing %s: %w", f.file, err)}
	}
	tellFindings(f.streams.ErrOut, result.Findings)
	if err := f.deliver(ctx, result); err != nil {
		return err
	}
	if slices.ContainsFunc(result.Findings, func(x aosm.Finding) bool { return x.Level == aosm.NotMapped }) {
		return &exitError{code: exitNotMapped}
	}
	return nil
}

// read reads the input, one byte more than an import takes at most.
func (f *importFlags) read() ([]byte, error) {
	in := f.streams.In
	if f.file != "-" {
		file, err := os.Open(f.file)
		if err != nil {
			return nil, err
		}
		defer func() { _ = file.Close() }() // only read
		in = file
	}
	data, err := io.ReadAll(io.LimitReader(in, aosm.MaxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", f.file, err)
	}
	return data, nil
}

// options checks the command line.
func (f *importFlags) options() (aosm.Options, error) {
	o := aosm.Options{Namespace: *f.config.Namespace, SiteNamespace: f.siteNamespace, APIVersion: f.apiVersion, Registries: map[string]string{}}
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
		store, url, ok := strings.Cut(pair, "=")
		if !ok || store == "" {
			return o, usage("--registry is STORE=URL, not %q", pair)
		}
		if _, err := v1alpha1.ParseRegistryURL(url); err != nil {
			return o, usage("--registry %s: %w", store, err)
		}
		o.Registries[store] = url
	}
	for _, p := range f.parameters {
		if err := parameter(&o.Parameters, p); err != nil {
			return o, err
		}
	}
	return o, nil
}

func (f *importFlags) check(o aosm.Options) error {
	switch {
	case f.file == "":
		return usage("-f is required: the file to import, or - for standard input")
	case !slices.Contains([]string{"none", "client", "server"}, f.dryRun):
		return usage("--dry-run is none, client or server, not %q", f.dryRun)
	case o.APIVersion != "" && !aosm.IsAPIVersion(o.APIVersion):
		return usage("--api-version is a date such as 2025-03-30, not %q", o.APIVersion)
	}
	for _, namespace := range []string{o.Namespace, o.SiteNamespace} {
		if problems := validation.IsDNS1123Label(namespace); namespace != "" && len(problems) > 0 {
			return usage("%q is no name of a namespace: %s", namespace, problems[0])
		}
	}
	return nil
}

func parameter(into *aosm.Parameters, p string) error {
	name, ok := strings.CutPrefix(p, "@")
	if !ok {
		if err := into.Set(p); err != nil {
			return usage("--parameters: %w", err)
		}
		return nil
	}
	file, err := os.Open(name)
	if err != nil {
		return &exitError{exitFailed, err}
	}
	defer func() { _ = file.Close() }() // only read
	if err := into.Read(file); err != nil {
		return &exitError{exitFailed, fmt.Errorf("reading the parameters in %s: %w", name, err)}
	}
	return nil
}

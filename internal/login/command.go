package login

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/plugin"
	"github.com/nfo-operator/nfo/internal/plugin/token"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/credential"
)

const loginHelp = `Logs docker or podman in to the cluster's own registry, where the store is.

The password is a Kubernetes token for the audience nfo-registry. With --service-account the API server issues one for
that account, which takes the verb create on serviceaccounts/token. Without it the bearer token of your kubeconfig is
used, if the API server accepts it for that audience. What the login may push and pull follows from the rights of the
account, or yours.

The login is stored as 'docker login' and 'podman login' store it, in the credential helper if one is configured:
  docker  $DOCKER_CONFIG/config.json or ~/.docker/config.json
  podman  $REGISTRY_AUTH_FILE or $XDG_RUNTIME_DIR/containers/auth.json
  print   not stored: the token is written to standard output, and nothing else

'kubectl nfo publish' needs no login: it has the flag --service-account too.

Exit codes:
  0  the login is stored, or printed
  1  something failed: standard error says what
  2  wrong usage`

const loginExample = `  # Log docker in as the account ci for one hour
  kubectl nfo login acme -n acme --service-account ci

  # The same for podman, for 8 hours, with the certificate authority that podman must trust
  kubectl nfo login acme -n acme --service-account ci --to podman --duration 8h --ca-file ~/.config/containers/certs.d/registry.example.com/ca.crt

  # Log any other client in
  kubectl nfo login acme -n acme --service-account ci --to print | helm registry login --username kubernetes --password-stdin registry.example.com`

// These are the values of --to.
const (
	toDocker = "docker"
	toPodman = "podman"
	toPrint  = "print"
)

// loginFlags are the command-line flags of `kubectl nfo login`.
type loginFlags struct {
	account, address, to, caFile string
	duration                     time.Duration
	// durationSet is true if --duration was given.
	durationSet bool
	config      *genericclioptions.ConfigFlags
	streams     genericiooptions.IOStreams
}

// NewCommand returns the command `kubectl nfo login`.
func NewCommand(streams genericiooptions.IOStreams, config *genericclioptions.ConfigFlags) *cobra.Command {
	flags := &loginFlags{config: config, streams: streams}
	cmd := &cobra.Command{
		Use:     "login STORE",
		Short:   "Log docker or podman in to the cluster's own registry",
		Long:    loginHelp,
		Example: loginExample,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return plugin.Usage("give one argument, the name of an ArtifactStore")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			flags.durationSet = cmd.Flags().Changed("duration")
			return flags.run(cmd.Context(), args[0])
		},
	}
	f := cmd.Flags()
	f.StringVar(&flags.account, "service-account", "", "log in as this ServiceAccount, NAME of the store's namespace or NAMESPACE:NAME; default: as yourself, if your kubeconfig has a bearer token that is valid for the registry")
	f.DurationVar(&flags.duration, "duration", token.DefaultDuration, "with --service-account: how long the login lasts, at least 10m; the API server may grant less")
	f.StringVar(&flags.to, "to", toDocker, "docker, podman or print")
	f.StringVar(&flags.address, "registry-address", "", "host:port at which the registry is reached from here; default: that of the store's status.url")
	f.StringVar(&flags.caFile, "ca-file", "", "write the certificates that the registry's certificate chains to, to this file")
	return cmd
}

func (f *loginFlags) run(ctx context.Context, store string) error {
	resource, name, ok := strings.Cut(store, "/")
	if !ok {
		resource, name = "artifactstores", store
	}
	if err := f.check(name); err != nil {
		return err
	}
	api, namespace, kind, err := plugin.ConnectFor(f.config, f.streams, resource)
	if err != nil {
		return err
	}
	if kind != v1alpha1.KindArtifactStore {
		return plugin.Usage("%s is not a store: give the name of an ArtifactStore", store)
	}
	kube, err := f.config.ToRESTConfig()
	if err != nil {
		return &plugin.Error{Code: plugin.ExitFailed, Err: fmt.Errorf("finding the cluster: %w", err)}
	}
	if err := f.logIn(ctx, api, kube, client.ObjectKey{Namespace: namespace, Name: name}); err != nil {
		return &plugin.Error{Code: plugin.ExitFailed, Err: err}
	}
	return nil
}

// check rejects a wrong command line.
func (f *loginFlags) check(name string) error {
	switch {
	case name == "" || strings.Contains(name, "/"):
		return plugin.Usage("give the name of an ArtifactStore")
	case f.to != toDocker && f.to != toPodman && f.to != toPrint:
		return plugin.Usage("--to is docker, podman or print, not %q", f.to)
	case f.durationSet && f.account == "":
		return plugin.Usage("--duration needs --service-account: how long your own token lasts is settled")
	case f.duration < token.MinDuration || f.duration > token.MaxDuration:
		return plugin.Usage("--duration is from %s to %s, not %s", token.MinDuration, token.MaxDuration, f.duration)
	}
	if f.account == "" {
		return nil
	}
	if _, err := token.ParseAccount(f.account, "default"); err != nil {
		return plugin.Usage("%w", err)
	}
	return nil
}

// logIn logs in to the registry of a store. kube is the configuration for the API server.
func (f *loginFlags) logIn(ctx context.Context, api client.Client, kube *rest.Config, key client.ObjectKey) error {
	store := &v1alpha1.ArtifactStore{}
	if err := api.Get(ctx, key, store); err != nil {
		return fmt.Errorf("reading the store: %w", err)
	}
	at, err := token.Registry(store, f.address)
	if err != nil {
		return err
	}
	if at.Location.InClear() {
		return fmt.Errorf("the registry is at %s, and a token would be sent unencrypted: give an address with TLS by --registry-address", at.Location)
	}
	t, err := f.token(ctx, api, kube, key.Namespace)
	if err != nil {
		return err
	}
	if f.caFile != "" {
		if err := writeCA(f.caFile, at.CABundle); err != nil {
			return err
		}
	}
	if f.to == toPrint {
		_, err := fmt.Fprintln(f.streams.Out, t.Secret)
		return err
	}
	return f.store(ctx, at, t)
}

// token gets a token: of the given account, or the user's own token.
func (f *loginFlags) token(ctx context.Context, api client.Client, kube *rest.Config, namespace string) (token.Token, error) {
	if f.account != "" {
		account, err := token.ParseAccount(f.account, namespace)
		if err != nil {
			return token.Token{}, err
		}
		return token.Request(ctx, api, account, f.duration)
	}
	t, err := token.Own(ctx, api, kube)
	if err != nil {
		return token.Token{}, fmt.Errorf("%w. Log in as a ServiceAccount with --service-account NAME", err)
	}
	return t, nil
}

// store stores the login for docker or podman, and prints what it stored and what is left to do.
func (f *loginFlags) store(ctx context.Context, at registry.Config, t token.Token) error {
	file, err := credential.DockerFile()
	if f.to == toPodman {
		file, err = credential.PodmanFile()
	}
	if err != nil {
		return err
	}
	where, err := credential.Save(ctx, file, at.Location.Host, credential.OfToken(t.Secret))
	if err != nil {
		return err
	}
	until := "until your own token ends, which nobody knows here"
	if !t.Until.IsZero() {
		until = "until " + t.Until.UTC().Format(time.RFC3339)
	}
	_, err = fmt.Fprintf(f.streams.Out, "Logged in to %s as %s %s. The login is in %s.\n%s", at.Location.Host, t.User, until, where, f.trust(at))
	return err
}

package logins

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/plugin/token"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/credential"
)

// Cluster is the connection to the cluster's own registry, and the login for it.
type Cluster struct {
	Config registry.Config
	// Host is the host of status.url, by which sources may refer to the registry.
	Host string
	// Denied says what to do after a refusal by the registry.
	Denied string
}

// Cluster returns the connection to the cluster's own registry for one of its stores, with a
// login: that of the ServiceAccount in Account if it is set, else the user's stored login for
// the host, else the user's own token. If there is none, the connection has no login, because
// the registry may allow anonymous pulls. For another store, the error wraps token.ErrElsewhere.
func (f *Flags) Cluster(ctx context.Context, api client.Client, store *v1alpha1.ArtifactStore) (*Cluster, error) {
	config, err := token.Registry(store, f.Address)
	if err != nil {
		return nil, err
	}
	c := &Cluster{Config: config}
	if at, err := v1alpha1.ParseRegistryURL(store.Status.URL); err == nil {
		c.Host = at.Host
	}
	return c, f.logIn(ctx, api, c, store)
}

// logIn sets the login of a connection, and what to do if the registry refuses it.
func (f *Flags) logIn(ctx context.Context, api client.Client, c *Cluster, store *v1alpha1.ArtifactStore) error {
	again := fmt.Sprintf("'kubectl nfo login %s -n %s --service-account NAME'", store.Name, store.Namespace)
	if f.Account != "" {
		c.Denied = fmt.Sprintf("this is as ServiceAccount %s of --service-account", f.Account)
		return f.logInAs(ctx, api, c, store.Namespace)
	}
	withheld, err := f.Stored(ctx, &c.Config)
	switch {
	case err != nil:
		return err
	case withheld:
		c.Denied = Withheld(c.Config.Location.Host)
		return nil
	case c.Config.Credential != registry.Credential{}:
		c.Denied = fmt.Sprintf("this is with your stored login for %s. If that has ended, log in again with %s, or use --service-account NAME", c.Config.Location.Host, again)
		return nil
	}
	c.Denied = fmt.Sprintf("name an account that may push with --service-account NAME, or log in with %s", again)
	kube, err := f.Config.ToRESTConfig()
	if err != nil {
		return fmt.Errorf("finding the cluster: %w", err)
	}
	if f.InClear(c.Config.Location) {
		return nil
	}
	mine, err := token.Own(ctx, api, kube)
	if err != nil {
		c.Denied += fmt.Sprintf(" (%v)", err)
		return nil
	}
	c.Config.Credential, c.Config.Transport = credential.OfToken(mine.Secret), f.Guard
	c.Denied = fmt.Sprintf("this is as you, user %q", mine.User)
	return nil
}

// logInAs logs in with tokens of a ServiceAccount. It renews them, because a push may take longer than a token is valid.
func (f *Flags) logInAs(ctx context.Context, api client.Client, c *Cluster, namespace string) error {
	account, err := token.ParseAccount(f.Account, namespace)
	if err != nil {
		return err
	}
	if f.InClear(c.Config.Location) {
		return fmt.Errorf("the registry is at %s, and a token would be sent unencrypted: --plain-http %s sends it", c.Config.Location, c.Config.Location.Host)
	}
	request := func(ctx context.Context) (token.Token, error) {
		return token.Request(ctx, api, account, token.DefaultDuration)
	}
	first, err := request(ctx)
	if err != nil {
		return err
	}
	c.Config.Token, c.Config.Transport = token.Renewed(first, request), f.Guard
	return nil
}

package publish

import (
	"context"
	"errors"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/plugin"
	"github.com/nfo-operator/nfo/internal/plugin/token"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/credential"
)

// clusterLogin is a login to the cluster's own registry.
type clusterLogin struct {
	// host is the host of status.url, by which sources may name the registry.
	host string
	// denied says what to do when the registry has refused.
	denied string
}

// checkLogin refuses flags that exclude each other.
func (f *publishFlags) checkLogin() error {
	switch {
	case f.account == "":
		return nil
	case f.storeCredentials:
		return plugin.Usage("give one of --service-account and --use-store-credentials")
	}
	if _, err := token.ParseAccount(f.account, "default"); err != nil {
		return plugin.Usage("%w", err)
	}
	return nil
}

// openCluster opens the cluster's own registry, and logs in to it: as the account that was named, else as the person's
// login for the host says, else with the person's own token. Without any it goes on without a login, because the
// registry may let everybody pull.
func (f *publishFlags) openCluster(ctx context.Context, api client.Client, t *target, store *v1alpha1.ArtifactStore) (err error) {
	if t.config, err = token.Registry(store, f.address); err != nil {
		if errors.Is(err, token.ErrElsewhere) {
			err = fmt.Errorf("%w, and leave out --service-account and --registry-address", err)
		}
		return err
	}
	if f.storeCredentials {
		return fmt.Errorf("store %s names no Secret: leave out --use-store-credentials", store.Name)
	}
	t.own = &clusterLogin{}
	if at, err := v1alpha1.ParseRegistryURL(store.Status.URL); err == nil {
		t.own.host = at.Host
	}
	if err := f.logInCluster(ctx, api, t, store); err != nil {
		return err
	}
	t.client, err = registry.Open(t.config)
	return err
}

// logInCluster gives the configuration of a target its login, and says what to do if the registry refuses it.
func (f *publishFlags) logInCluster(ctx context.Context, api client.Client, t *target, store *v1alpha1.ArtifactStore) error {
	again := fmt.Sprintf("'kubectl nfo login %s -n %s --service-account NAME'", store.Name, store.Namespace)
	if f.account != "" {
		t.own.denied = fmt.Sprintf("this is as ServiceAccount %s of --service-account", f.account)
		return f.logInAs(ctx, api, t, store.Namespace)
	}
	withheld, err := f.login(ctx, &t.config)
	switch {
	case err != nil:
		return err
	case withheld:
		t.own.denied = withheldLogin(t.config.Location.Host)
		return nil
	case t.config.Credential != registry.Credential{}:
		t.own.denied = fmt.Sprintf("this is with your stored login for %s. If that has ended, log in again with %s, or use --service-account NAME", t.config.Location.Host, again)
		return nil
	}
	t.own.denied = fmt.Sprintf("name an account that may push with --service-account NAME, or log in with %s", again)
	kube, err := f.config.ToRESTConfig()
	if err != nil {
		return fmt.Errorf("finding the cluster: %w", err)
	}
	if f.inClear(t.config.Location) {
		return nil
	}
	mine, err := token.Own(ctx, api, kube)
	if err != nil {
		t.own.denied += fmt.Sprintf(" (%v)", err)
		return nil
	}
	t.config.Credential, t.config.Transport = credential.OfToken(mine.Secret), f.guard
	t.own.denied = fmt.Sprintf("this is as you, user %q", mine.User)
	return nil
}

// logInAs logs in with tokens of a ServiceAccount. A push may take longer than a token lasts.
func (f *publishFlags) logInAs(ctx context.Context, api client.Client, t *target, namespace string) error {
	account, err := token.ParseAccount(f.account, namespace)
	if err != nil {
		return err
	}
	if f.inClear(t.config.Location) {
		return fmt.Errorf("the registry is at %s, and a token would be sent unencrypted: --plain-http %s sends it", t.config.Location, t.config.Location.Host)
	}
	request := func(ctx context.Context) (token.Token, error) {
		return token.Request(ctx, api, account, token.DefaultDuration)
	}
	first, err := request(ctx)
	if err != nil {
		return err
	}
	t.config.Token, t.config.Transport = token.Renewed(first, request), f.guard
	return nil
}

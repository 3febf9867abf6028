package registry

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
)

// UserCredential is the login for a host that `docker login`, `helm registry login` with docker's
// file, or `podman login` has left for the user of this process, from a credential helper if one is
// configured; zero when there is none. Of several files the first that has one counts:
// $REGISTRY_AUTH_FILE, $DOCKER_CONFIG/config.json or ~/.docker/config.json, containers/auth.json in
// $XDG_RUNTIME_DIR or the user's configuration folder. Errors wrap ErrCredentials and hold nothing of
// the files' data.
func UserCredential(ctx context.Context, host string) (Credential, error) {
	stores, err := userStores()
	if err != nil {
		return Credential{}, err
	}
	for _, store := range stores {
		found, err := store.Get(ctx, credentials.ServerAddressFromRegistry(host))
		if err != nil {
			return Credential{}, unreadableLogin(fmt.Sprintf("asking %s for the login of %s", store.ConfigPath(), host), err)
		}
		if found != auth.EmptyCredential {
			return Credential{Username: found.Username, Password: found.Password, IdentityToken: found.RefreshToken, RegistryToken: found.AccessToken}, nil
		}
	}
	return Credential{}, nil
}

func userStores() ([]*credentials.DynamicStore, error) {
	var stores []*credentials.DynamicStore
	file := func(name string) error {
		store, err := credentials.NewStore(name, credentials.StoreOptions{})
		if err != nil {
			return unreadableLogin("reading "+name, err)
		}
		stores = append(stores, store)
		return nil
	}
	var errs []error
	if name := os.Getenv("REGISTRY_AUTH_FILE"); name != "" {
		errs = append(errs, file(name))
	}
	if dir := os.Getenv("DOCKER_CONFIG"); dir != "" {
		errs = append(errs, file(filepath.Join(dir, "config.json")))
	} else if home, err := os.UserHomeDir(); err == nil {
		errs = append(errs, file(filepath.Join(home, ".docker", "config.json")))
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		errs = append(errs, file(filepath.Join(dir, "containers", "auth.json")))
	}
	if dir, err := os.UserConfigDir(); err == nil {
		errs = append(errs, file(filepath.Join(dir, "containers", "auth.json")))
	}
	return stores, errors.Join(errs...)
}

// unreadableLogin repeats nothing that a parser or a helper has said, which could quote a secret, but
// that a program or a file cannot be used.
func unreadableLogin(doing string, err error) error {
	var program *exec.Error
	var file *os.PathError
	switch {
	case errors.As(err, &program):
		return fmt.Errorf("%s: %w: %w", doing, ErrCredentials, program)
	case errors.As(err, &file):
		return fmt.Errorf("%s: %w: %w", doing, ErrCredentials, file)
	}
	return fmt.Errorf("%s: %w: it is not what 'docker login' or 'podman login' writes", doing, ErrCredentials)
}

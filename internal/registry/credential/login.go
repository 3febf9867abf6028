package credential

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"

	"github.com/nfo-operator/nfo/internal/files"
	"github.com/nfo-operator/nfo/internal/registry/failure"
)

// OfUser returns the login for a host that `docker login`, `helm registry login` with docker's file, or `podman
// login` has stored for the user of this process, from a credential helper if one is configured; zero if there is
// none. It takes the login from the first of these files that has one: $REGISTRY_AUTH_FILE,
// $DOCKER_CONFIG/config.json or ~/.docker/config.json, containers/auth.json in $XDG_RUNTIME_DIR, containers/auth.json
// in the user's configuration folder. Errors wrap ErrCredentials and contain nothing of the files' data.
func OfUser(ctx context.Context, host string) (Credential, error) {
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
	if name, err := DockerFile(); err == nil {
		errs = append(errs, file(name))
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		errs = append(errs, file(filepath.Join(dir, "containers", "auth.json")))
	}
	if dir, err := os.UserConfigDir(); err == nil {
		errs = append(errs, file(filepath.Join(dir, "containers", "auth.json")))
	}
	return stores, errors.Join(errs...)
}

// maxLoginFile bounds the size of a file to which a login is added, in bytes.
const maxLoginFile = 4 << 20

// DockerFile returns the file in which docker stores the logins of the user of
// this process: $DOCKER_CONFIG/config.json, by default ~/.docker/config.json.
func DockerFile() (string, error) {
	if dir := os.Getenv("DOCKER_CONFIG"); dir != "" {
		return filepath.Join(dir, "config.json"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("finding docker's configuration: %w. Set DOCKER_CONFIG to its folder", err)
	}
	return filepath.Join(home, ".docker", "config.json"), nil
}

// PodmanFile returns the file in which podman stores the logins of the user of this process: $REGISTRY_AUTH_FILE, by
// default containers/auth.json in $XDG_RUNTIME_DIR or, without that variable, in the user's configuration folder.
func PodmanFile() (string, error) {
	if name := os.Getenv("REGISTRY_AUTH_FILE"); name != "" {
		return name, nil
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		return filepath.Join(dir, "containers", "auth.json"), nil
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("finding podman's logins: %w. Set REGISTRY_AUTH_FILE to their file", err)
	}
	return filepath.Join(dir, "containers", "auth.json"), nil
}

// Save stores the login for a host as `docker login` does: in the credential helper that the file configures
// for the host, or otherwise in the file itself. It returns the name of the helper's program, or of the
// file. The rest of the file and its mode stay the same; a new file has the mode 0600. A symbolic link to
// the file stays a link. Errors wrap ErrCredentials and contain nothing of the file's data or of the login.
func Save(ctx context.Context, file, host string, login Credential) (where string, err error) {
	if target, err := filepath.EvalSymlinks(file); err == nil {
		file = target
	}
	key := credentials.ServerAddressFromRegistry(host)
	where, mode, err := loginPlace(file, key)
	if err != nil {
		return "", unreadableLogin("reading "+file, err)
	}
	store, err := credentials.NewStore(file, credentials.StoreOptions{AllowPlaintextPut: true})
	if err != nil {
		return "", unreadableLogin("reading "+file, err)
	}
	if err := store.Put(ctx, key, login.Oras()); err != nil {
		return "", unstoredLogin(where, err)
	}
	if where == file {
		if err := os.Chmod(file, mode); err != nil {
			return "", unstoredLogin(where, err)
		}
	}
	return where, nil
}

// loginPlace returns where the login with a key is stored according to the file's configuration, and the
// mode that the file keeps. The key is that of docker: a host, except for Docker Hub, which has a URL.
func loginPlace(file, key string) (where string, mode os.FileMode, err error) {
	f, err := files.Open(file)
	if errors.Is(err, os.ErrNotExist) {
		return file, 0o600, nil
	}
	if err != nil {
		return "", 0, err
	}
	defer func() { _ = f.Close() }() // only read
	info, err := f.Stat()
	if err != nil {
		return "", 0, err
	}
	text, err := files.Read(f, maxLoginFile)
	if err != nil || len(bytes.TrimSpace(text)) == 0 {
		return file, info.Mode().Perm(), err
	}
	var config struct {
		CredsStore  string            `json:"credsStore"`
		CredHelpers map[string]string `json:"credHelpers"`
	}
	if err := json.Unmarshal(text, &config); err != nil {
		return "", 0, err
	}
	if helper := cmp.Or(config.CredHelpers[key], config.CredsStore); helper != "" {
		return "docker-credential-" + helper, 0, nil
	}
	return file, info.Mode().Perm(), nil
}

// unstoredLogin returns an error without the message of a helper, which could quote the login.
func unstoredLogin(where string, err error) error {
	var program *exec.Error
	var file *os.PathError
	switch {
	case errors.As(err, &program):
		return fmt.Errorf("storing the login: %w: %w. Install the credential helper, or remove it from the configuration", failure.ErrCredentials, program)
	case errors.As(err, &file):
		return fmt.Errorf("storing the login: %w: %w", failure.ErrCredentials, file)
	}
	return fmt.Errorf("storing the login: %w: %s does not accept it", failure.ErrCredentials, where)
}

// unreadableLogin returns an error without the message of a parser or a helper,
// which could quote a secret. It only says that a program or a file cannot be used.
func unreadableLogin(doing string, err error) error {
	var program *exec.Error
	var file *os.PathError
	switch {
	case errors.As(err, &program):
		return fmt.Errorf("%s: %w: %w", doing, failure.ErrCredentials, program)
	case errors.As(err, &file):
		return fmt.Errorf("%s: %w: %w", doing, failure.ErrCredentials, file)
	}
	return fmt.Errorf("%s: %w: it is not what 'docker login' or 'podman login' writes", doing, failure.ErrCredentials)
}

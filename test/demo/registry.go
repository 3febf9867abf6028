package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/clusterregistry/collect"
	"github.com/nfo-operator/nfo/internal/clusterregistry/serve"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
	nfo "github.com/nfo-operator/nfo/internal/registry"
)

const (
	registryName = "registry"
	addressFile  = "registry.address"
)

// newRegistryCommand returns a command that serves a registry in the foreground; `up` runs it in the background.
func newRegistryCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "registry DIRECTORY",
		Short: "Serve an OCI registry from a directory on 127.0.0.1, until it is asked to end",
		Long: `Serve an OCI registry from a directory on 127.0.0.1, until it is asked to end. Its address is in
DIRECTORY/` + addressFile + `. It is the same one after a restart, if the port is still free.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return serveRegistry(cmd.Context(), args[0]) },
	}
}

// serveRegistry serves like `nfo registry --open`, but with a grace of one second after a push,
// so that the story need not wait for an hour until a collection removes unreferenced content.
func serveRegistry(ctx context.Context, dir string) error {
	v, err := volume.Open(filepath.Join(dir, registryName), volume.Options{})
	if err != nil {
		return err
	}
	registry, err := serve.New(ctx, serve.Options{Volume: v, Collection: collect.Options{Grace: time.Second}})
	if err != nil {
		return err
	}
	running := make(chan error, 1)
	go func() { running <- registry.Run(ctx) }()
	listener, err := listen(ctx, filepath.Join(dir, addressFile))
	if err != nil {
		return err
	}
	server := &http.Server{Handler: registry.Handler(), ReadHeaderTimeout: 10 * time.Second}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving: %w", err)
	}
	return errors.Join(<-running, registry.Close())
}

// newCollectCommand returns a command that asks the registry for a collection, as a purge does, and waits for its end.
func newCollectCommand() *cobra.Command {
	return inEnvironment("collect", "Have the registry remove from its disk what nothing names, and say what that freed", func(ctx context.Context, e *environment) error {
		c, err := nfo.Open(nfo.Config{Location: v1alpha1.RegistryLocation{PlainHTTP: true, Host: e.registryHost()}})
		if err != nil {
			return err
		}
		defer c.Close()
		store := types.NamespacedName{Namespace: "publisher", Name: "acme"}
		asked, err := c.Collect(ctx, store)
		if err != nil {
			return err
		}
		return wait.PollUntilContextTimeout(ctx, 200*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
			now, err := c.Collection(ctx, store)
			if err != nil || now.Done < asked.Requested {
				return false, err
			}
			if now.Failed != "" {
				return false, errors.New(now.Failed)
			}
			fmt.Fprintf(e.out, "The registry has collected, which freed %s.\n", v1alpha1.Bytes(now.Freed))
			return true, nil
		})
	})
}

// listen listens on the address in the file or, if that is not possible, on a free one, which it writes to the file.
func listen(ctx context.Context, file string) (net.Listener, error) {
	var config net.ListenConfig
	if before, err := os.ReadFile(file); err == nil {
		if l, err := config.Listen(ctx, "tcp", strings.TrimSpace(string(before))); err == nil {
			return l, nil
		}
	}
	l, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening: %w", err)
	}
	if err := os.WriteFile(file, []byte(l.Addr().String()+"\n"), 0o644); err != nil {
		return nil, errors.Join(fmt.Errorf("writing the address: %w", err), l.Close())
	}
	return l, nil
}

// answers reports whether a server answers with status 200.
func answers(ctx context.Context, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	_ = res.Body.Close() // only the status counts
	return res.StatusCode == http.StatusOK
}

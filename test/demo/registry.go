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

	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

const (
	registryName = "registry"
	addressFile  = "registry.address"
)

// newRegistryCommand serves a registry in the foreground; `up` runs it in the background.
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

func serveRegistry(ctx context.Context, dir string) error {
	app, err := registrytest.Handler(ctx, filepath.Join(dir, registryName))
	if err != nil {
		return err
	}
	listener, err := listen(ctx, filepath.Join(dir, addressFile))
	if err != nil {
		return err
	}
	server := &http.Server{Handler: app, ReadHeaderTimeout: 10 * time.Second}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving: %w", err)
	}
	return nil
}

// listen takes the address that the file has, or else a free one, and writes it there.
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

// answers reports whether a server says 200.
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

package registrytest

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"os"

	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content/oci"
	"oras.land/oras-go/v2/registry/remote"
)

// WriteLayout copies the artifact at a tag over plain HTTP into an OCI image
// layout, under a name, as `skopeo copy` does. The layout may contain other images.
func WriteLayout(ctx context.Context, host, repository, tag, folder, name string) error {
	return writeLayout(host, repository, folder, func(from *remote.Repository, to *oci.Store) error {
		_, err := oras.Copy(ctx, from, tag, to, name, oras.DefaultCopyOptions)
		return err
	})
}

// WriteWholeLayout is WriteLayout with the referrers of all copied manifests, as `oras copy --recursive` does.
func WriteWholeLayout(ctx context.Context, host, repository, tag, folder, name string) error {
	return writeLayout(host, repository, folder, func(from *remote.Repository, to *oci.Store) error {
		_, err := oras.ExtendedCopy(ctx, from, tag, to, name, oras.DefaultExtendedCopyOptions)
		return err
	})
}

func writeLayout(host, repository, folder string, write func(*remote.Repository, *oci.Store) error) error {
	from, err := open(host, repository)
	if err != nil {
		return err
	}
	to, err := oci.New(folder)
	if err != nil {
		return fmt.Errorf("opening the layout %s: %w", folder, err)
	}
	if err := write(from, to); err != nil {
		return fmt.Errorf("copying to the layout %s: %w", folder, err)
	}
	return nil
}

// PackLayout writes a folder as a tar archive.
func PackLayout(folder, archive string) error {
	file, err := os.Create(archive)
	if err != nil {
		return err
	}
	w := tar.NewWriter(file)
	return errors.Join(w.AddFS(os.DirFS(folder)), w.Close(), file.Close())
}

package login

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/nfo-operator/nfo/internal/files"
	"github.com/nfo-operator/nfo/internal/registry"
)

// maxCA is the maximum size of a file of certificates that is replaced, in bytes.
const maxCA = 1 << 20

// trust returns how to make docker or podman trust the registry's certificate, or "" if the system's certificates suffice.
func (f *loginFlags) trust(at registry.Config) string {
	if at.Location.PlainHTTP || len(at.CABundle) == 0 {
		return ""
	}
	file := filepath.Join("/etc/docker/certs.d", at.Location.Host, "ca.crt")
	place := "The docker daemon reads them from " + file + " on its machine."
	if f.to == toPodman {
		file = filepath.Join("/etc/containers/certs.d", at.Location.Host, "ca.crt")
		place = fmt.Sprintf("Podman reads them from ~/.config/containers/certs.d/%s/ca.crt or %s, or from the folder of its flag --cert-dir.", at.Location.Host, file)
	}
	if f.caFile != "" {
		return fmt.Sprintf("The certificates to trust are in %s. %s\n", f.caFile, place)
	}
	return fmt.Sprintf("%s must trust the registry's certificate: --ca-file FILE writes the certificates to trust. %s\n", f.to, place)
}

// writeCA writes certificates to a file, and creates its folder. It replaces only an empty file or a file of certificates.
func writeCA(name string, ca []byte) error {
	if len(ca) == 0 {
		return errors.New("writing the certificates: the store's status.caBundle is empty, because the registry's certificate chains to the certificates of the system: leave out --ca-file")
	}
	f, err := files.Open(name)
	if err == nil {
		before, err := files.Read(f, maxCA)
		if err := errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("reading %s: %w", name, err)
		}
		if before = bytes.TrimSpace(before); len(before) > 0 && !bytes.HasPrefix(before, []byte("-----BEGIN CERTIFICATE-----")) {
			return fmt.Errorf("writing the certificates: %s exists and holds something else than certificates: name another file", name)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("reading %s: %w", name, err)
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return fmt.Errorf("writing the certificates: %w", err)
	}
	if err := os.WriteFile(name, ca, 0o644); err != nil {
		return fmt.Errorf("writing the certificates: %w", err)
	}
	return nil
}

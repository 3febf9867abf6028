package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/ProtonMail/go-crypto/openpgp"
	"helm.sh/helm/v3/pkg/provenance"
)

// errNoKey is the error for a file without exactly one secret key.
var errNoKey = errors.New("there is not exactly one secret key in the file")

// sign writes the provenance of the chart in a folder, and a detached signature of the checksums.
func sign(folder, keyFile string, passphrase []byte) error {
	key, err := readKey(keyFile, passphrase)
	if err != nil {
		return fmt.Errorf("reading the signing key: %w", err)
	}
	charts, err := filepath.Glob(filepath.Join(folder, "nfo-*.tgz"))
	if err != nil || len(charts) != 1 {
		return fmt.Errorf("signing: %s has %d charts, and not 1", folder, len(charts))
	}
	signer := provenance.Signatory{Entity: key, KeyRing: openpgp.EntityList{key}}
	text, err := signer.ClearSign(charts[0])
	if err == nil {
		err = os.WriteFile(charts[0]+".prov", []byte(text), 0o644)
	}
	if err != nil {
		return fmt.Errorf("signing the chart: %w", err)
	}
	sums, err := os.ReadFile(filepath.Join(folder, sumsFile))
	if err != nil {
		return fmt.Errorf("signing the checksums: %w", err)
	}
	var signature bytes.Buffer
	err = openpgp.ArmoredDetachSign(&signature, key, bytes.NewReader(sums), nil)
	if err == nil {
		err = os.WriteFile(filepath.Join(folder, sumsFile+".asc"), append(signature.Bytes(), '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("signing the checksums: %w", err)
	}
	return nil
}

// readKey reads the only secret key in a file, armored or not.
func readKey(name string, passphrase []byte) (*openpgp.Entity, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	ring, err := openpgp.ReadArmoredKeyRing(bytes.NewReader(data))
	if err != nil {
		ring, err = openpgp.ReadKeyRing(bytes.NewReader(data))
	}
	if err != nil {
		return nil, err
	}
	if len(ring) != 1 || ring[0].PrivateKey == nil {
		return nil, errNoKey
	}
	if ring[0].PrivateKey.Encrypted {
		if err := ring[0].DecryptPrivateKeys(passphrase); err != nil {
			return nil, fmt.Errorf("decrypting it with NFO_SIGNING_PASSPHRASE: %w", err)
		}
	}
	return ring[0], nil
}

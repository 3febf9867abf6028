package main

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"os"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// writeRoots writes the public root certificates to path as PEM, in the bundle's order.
func writeRoots(path string) error {
	var out bytes.Buffer
	for root := range bundle.Roots() {
		// Mozilla trusts only the older certificates of this root. PEM
		// cannot express that, so the root is left out to be safe.
		if root.Constraint != nil {
			continue
		}
		if err := pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}); err != nil {
			return fmt.Errorf("encoding a root certificate: %w", err)
		}
	}
	if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
		return fmt.Errorf("writing the root certificates: %w", err)
	}
	return nil
}

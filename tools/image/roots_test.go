package main

import (
	"crypto/x509"
	"encoding/pem"
	"path/filepath"
	"testing"
)

// TestRoots reads the bundle as the operator does, and checks that it has every certificate, and that each is an authority.
func TestRoots(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "roots")
	if err := writeRoots(path); err != nil {
		t.Fatal(err)
	}
	count := 0
	for block, rest := pem.Decode(read(t, path)); block != nil; block, rest = pem.Decode(rest) {
		count++
		root, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Errorf("certificate %d: %v", count, err)
		} else if !root.IsCA {
			t.Errorf("%v is not an authority", root.Subject)
		}
	}
	if count < 50 {
		t.Errorf("only %d certificates: Mozilla's programme has more than a hundred", count)
	}
}

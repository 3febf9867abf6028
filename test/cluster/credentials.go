package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// credentials are the files that the components read, and the administrator's kubeconfig.
type credentials struct {
	ca, serverCert, serverKey, accountKey, manager string // paths

	admin *kubeconfig
}

// writeCredentials makes everything secret that a cluster at server needs, below dir.
func writeCredentials(dir, server string) (*credentials, error) {
	now := time.Now()
	ca, err := newAuthority(now)
	if err != nil {
		return nil, err
	}
	serving, err := ca.server(now)
	if err != nil {
		return nil, err
	}
	admin, err := ca.client(now, "admin", "system:masters")
	if err != nil {
		return nil, err
	}
	manager, err := ca.client(now, "system:kube-controller-manager")
	if err != nil {
		return nil, err
	}
	_, accountKey, err := newKey()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("writing credentials: %w", err)
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	c := &credentials{
		ca: at("ca.crt"), serverCert: at("apiserver.crt"), serverKey: at("apiserver.key"),
		accountKey: at("service-account.key"), manager: at("controller-manager.kubeconfig"),
		admin: newKubeconfig(server, ca.pem, "admin", admin),
	}
	files := map[string][]byte{c.ca: ca.pem, c.serverCert: serving.cert, c.serverKey: serving.key, c.accountKey: accountKey}
	for path, content := range files {
		if err := writeFile(path, content); err != nil {
			return nil, err
		}
	}
	return c, newKubeconfig(server, ca.pem, "controller-manager", manager).write(c.manager)
}

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/nfo-operator/nfo/test/cluster/certificate"
)

// A kubeconfig is written as JSON, which is also YAML, so that kubectl and client-go can read it.
type kubeconfig struct {
	APIVersion     string         `json:"apiVersion"`
	Kind           string         `json:"kind"`
	Clusters       []namedCluster `json:"clusters"`
	Users          []namedUser    `json:"users"`
	Contexts       []namedContext `json:"contexts"`
	CurrentContext string         `json:"current-context"`
}

type namedCluster struct {
	Name    string `json:"name"`
	Cluster struct {
		Server                   string `json:"server"`
		CertificateAuthorityData []byte `json:"certificate-authority-data"`
	} `json:"cluster"`
}

type namedUser struct {
	Name string `json:"name"`
	User struct {
		ClientCertificateData []byte `json:"client-certificate-data"`
		ClientKeyData         []byte `json:"client-key-data"`
	} `json:"user"`
}

type namedContext struct {
	Name    string `json:"name"`
	Context struct {
		Cluster string `json:"cluster"`
		User    string `json:"user"`
	} `json:"context"`
}

func newKubeconfig(server string, authority []byte, user string, client certificate.Pair) *kubeconfig {
	const name = "test-cluster"
	c := namedCluster{Name: name}
	c.Cluster.Server, c.Cluster.CertificateAuthorityData = server, authority
	u := namedUser{Name: user}
	u.User.ClientCertificateData, u.User.ClientKeyData = client.Cert, client.Key
	x := namedContext{Name: name}
	x.Context.Cluster, x.Context.User = name, user
	return &kubeconfig{
		APIVersion: "v1", Kind: "Config", CurrentContext: name,
		Clusters: []namedCluster{c}, Users: []namedUser{u}, Contexts: []namedContext{x},
	}
}

// write stores the kubeconfig at path. A reader sees the whole file or none.
func (k *kubeconfig) write(path string) error {
	text, err := json.MarshalIndent(k, "", "  ")
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return writeFile(path, append(text, '\n'))
}

// writeFile writes a file that only its owner can read, and puts it in place with a rename.
func writeFile(path string, content []byte) error {
	temp := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".new")
	if err := os.WriteFile(temp, content, 0o600); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := os.Rename(temp, path); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

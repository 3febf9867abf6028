package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/nfo-operator/nfo/test/cluster/certificate"
	"github.com/nfo-operator/nfo/test/cluster/node"
)

// credentials are the paths of the files that the components read, and the administrator's kubeconfig.
type credentials struct {
	ca, serverCert, serverKey, accountKey, manager string // paths

	admin *kubeconfig
	node  *nodeCredentials // nil without a node
}

// nodeCredentials are the paths of the files for a node.
type nodeCredentials struct {
	kubelet, proxy, scheduler string // kubeconfigs
	serving                   node.Files
	clientCert, clientKey     string // the API server's certificate and key as a client of the kubelet
}

// An issuer issues the secrets of one cluster and writes them to a directory.
type issuer struct {
	ca          *certificate.Authority
	dir, server string
	now         time.Time
	errs        []error
}

// writeCredentials writes all secrets of a cluster whose API server listens at api.
func writeCredentials(dir string, api *port, withNode bool) (*credentials, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("writing credentials: %w", err)
	}
	now := time.Now()
	ca, err := certificate.New(now)
	if err != nil {
		return nil, err
	}
	admin, err := ca.Client(now, "admin", "system:masters")
	if err != nil {
		return nil, err
	}
	_, accountKey, err := certificate.NewKey()
	if err != nil {
		return nil, err
	}
	i := &issuer{ca: ca, dir: dir, server: api.url("https"), now: now}
	c := &credentials{
		ca:         i.write("ca.crt", ca.PEM),
		accountKey: i.write("service-account.key", accountKey),
		manager:    i.kubeconfig("controller-manager", "system:kube-controller-manager"),
		admin:      newKubeconfig(i.server, ca.PEM, "admin", admin),
	}
	c.serverCert, c.serverKey = i.pair("apiserver", func() (certificate.Pair, error) { return ca.Server(now, api.address) })
	if withNode {
		c.node = i.node(c.ca)
	}
	return c, errors.Join(i.errs...)
}

func (i *issuer) node(ca string) *nodeCredentials {
	c := &nodeCredentials{
		kubelet:   i.kubeconfig("kubelet", "system:node:"+node.Host, "system:nodes"),
		proxy:     i.kubeconfig("kube-proxy", "system:kube-proxy"),
		scheduler: i.kubeconfig("kube-scheduler", "system:kube-scheduler"),
		serving:   node.Files{CA: ca},
	}
	c.serving.Certificate, c.serving.Key = i.pair("kubelet", func() (certificate.Pair, error) {
		return i.ca.Kubelet(i.now, node.Host, node.Address)
	})
	c.clientCert, c.clientKey = i.pair("apiserver-kubelet", func() (certificate.Pair, error) {
		return i.ca.Client(i.now, "kube-apiserver-kubelet-client", "system:masters")
	})
	return c
}

// kubeconfig writes the kubeconfig of a component that authenticates as user, and returns its path.
func (i *issuer) kubeconfig(component, user string, groups ...string) string {
	path := filepath.Join(i.dir, component+".kubeconfig")
	client, err := i.ca.Client(i.now, user, groups...)
	if err == nil {
		err = newKubeconfig(i.server, i.ca.PEM, component, client).write(path)
	}
	i.errs = append(i.errs, err)
	return path
}

func (i *issuer) pair(name string, issue func() (certificate.Pair, error)) (cert, key string) {
	p, err := issue()
	i.errs = append(i.errs, err)
	return i.write(name+".crt", p.Cert), i.write(name+".key", p.Key)
}

func (i *issuer) write(name string, content []byte) string {
	path := filepath.Join(i.dir, name)
	i.errs = append(i.errs, writeFile(path, content))
	return path
}

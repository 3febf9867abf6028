package main

import (
	"cmp"
	"context"
	"errors"
	"path/filepath"
	"slices"

	"github.com/nfo-operator/nfo/test/cluster/node"
)

// A controlPlane is the running components of a cluster: the three
// of a control plane, and the node's if the cluster has a node.
type controlPlane struct {
	dir        string
	binaries   map[string]string
	node       *node.Node   // nil without a node
	components []*component // in start order
	ports      []*port
	stopping   chan struct{}
	fail       context.CancelCauseFunc // called with an error that wraps errFailed when a component ends unasked
}

// start returns the administrator's kubeconfig when the cluster is ready. The caller must call stop, also after an error.
func (p *controlPlane) start(ctx context.Context) (*kubeconfig, error) {
	etcd, api, err := p.listeners(ctx)
	if err != nil {
		return nil, err
	}
	secrets, err := writeCredentials(filepath.Join(p.dir, "pki"), api, p.node != nil)
	if err != nil {
		return nil, err
	}
	if err := p.launch("etcd", etcdArguments(p.dir, etcd)); err != nil {
		return nil, err
	}
	if err := p.launch("kube-apiserver", apiserverArguments(etcd, api, secrets)); err != nil {
		return nil, err
	}
	if err := p.meanwhile(ctx, etcd, secrets); err != nil {
		return nil, err
	}
	if err := secrets.admin.await(ctx, "/readyz", nil); err != nil {
		return nil, err
	}
	// Not earlier: it polls the API server once a second, and exits after ten seconds without success.
	if err := p.launch("kube-controller-manager", managerArguments(secrets)); err != nil {
		return nil, err
	}
	if p.node != nil {
		if err := p.startNode(secrets); err != nil {
			return nil, err
		}
		if err := secrets.admin.await(ctx, "/api/v1/nodes/"+node.Host, nodeReady); err != nil {
			return nil, err
		}
	}
	// Two controllers take part in creating this account. Once it exists, the controllers work.
	return secrets.admin, secrets.admin.await(ctx, "/api/v1/namespaces/default/serviceaccounts/default", nil)
}

// meanwhile does what needs no API server while the API server starts: without a
// node it writes etcd's address to a file, with one it starts the container runtime.
func (p *controlPlane) meanwhile(ctx context.Context, etcd *port, secrets *credentials) error {
	if p.node == nil {
		return writeFile(filepath.Join(p.dir, fileEtcd), []byte(etcd.url("http")+"\n"))
	}
	return p.startRuntime(ctx, secrets)
}

// listeners returns the addresses at which etcd and the API server are to
// listen. A node has a separate network namespace, in which every port is free.
func (p *controlPlane) listeners(ctx context.Context) (etcd, api *port, err error) {
	if p.node != nil {
		return &port{address: loopback, number: 2379}, &port{address: node.Address, number: 6443}, p.node.Up(ctx)
	}
	for _, listener := range []**port{&etcd, &api} {
		if *listener, err = reservePort(); err != nil {
			return nil, nil, err
		}
		p.ports = append(p.ports, *listener)
	}
	return etcd, api, nil
}

// launch starts a component: one of the built binaries, or else a program of this machine.
func (p *controlPlane) launch(name string, arguments []string) error {
	path := cmp.Or(p.binaries[name], name)
	if p.node != nil {
		path, arguments = p.node.Inside(path, arguments)
	}
	c, err := startComponent(p.dir, name, path, arguments...)
	if err != nil {
		return err
	}
	p.components = append(p.components, c)
	go func() {
		<-c.ended
		select {
		case <-p.stopping:
		default:
			p.fail(c.failure())
		}
	}()
	return nil
}

// stop stops the components in reverse order, because an API server without its etcd hangs in
// its shutdown until it is killed. Then it removes what the node has changed on the machine.
func (p *controlPlane) stop(ctx context.Context) error {
	close(p.stopping)
	for _, c := range slices.Backward(p.components) {
		c.stop()
	}
	var errs []error
	for _, port := range p.ports {
		errs = append(errs, port.release())
	}
	if p.node != nil {
		errs = append(errs, p.node.Down(ctx))
	}
	return errors.Join(errs...)
}

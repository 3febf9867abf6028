package main

import (
	"cmp"
	"context"
	"errors"
	"path/filepath"
	"slices"

	"github.com/nfo-operator/nfo/test/cluster/node"
)

// A controlPlane is the components of a running cluster: the three of a control plane, and
// those of its node if it has one.
type controlPlane struct {
	dir        string
	binaries   map[string]string
	node       *node.Node   // nil without
	components []*component // in the order of their start
	ports      []*port
	stopping   chan struct{}
	fail       context.CancelCauseFunc // called, with errFailed, when a component ends by itself
}

// start returns the administrator's kubeconfig when the cluster is ready. Call stop after
// it in any case.
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
	// Not before: it looks for the API server once a second, and gives up after ten.
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
	// Two controllers have a part in this account: when it is there, they all work.
	return secrets.admin, secrets.admin.await(ctx, "/api/v1/namespaces/default/serviceaccounts/default", nil)
}

// meanwhile does what needs no API server, while that gets ready: without a node it says where etcd is, and with one it
// starts the runtime.
func (p *controlPlane) meanwhile(ctx context.Context, etcd *port, secrets *credentials) error {
	if p.node == nil {
		return writeFile(filepath.Join(p.dir, fileEtcd), []byte(etcd.url("http")+"\n"))
	}
	return p.startRuntime(ctx, secrets)
}

// listeners are where etcd and the API server shall listen. A node has a network namespace of
// its own, where every port is free.
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

// launch starts a component: a binary of ours, or else a program of this machine.
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

// stop ends the components in reverse: an API server without its etcd hangs in its
// shutdown until it is killed. Then it gives back what the node took.
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

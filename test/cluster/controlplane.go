package main

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
)

// A controlPlane is the three components of a running cluster.
type controlPlane struct {
	dir        string
	binaries   map[string]string
	components []*component // in the order of their start
	ports      []*port
	stopping   chan struct{}
	fail       context.CancelCauseFunc // told, with errFailed, when a component ends by itself
}

// start returns the administrator's kubeconfig when the cluster is ready. Call stop after
// it in any case.
func (p *controlPlane) start(ctx context.Context) (*kubeconfig, error) {
	etcd, err := p.reserve()
	if err != nil {
		return nil, err
	}
	api, err := p.reserve()
	if err != nil {
		return nil, err
	}
	secrets, err := writeCredentials(filepath.Join(p.dir, "pki"), api.url("https"))
	if err != nil {
		return nil, err
	}
	if err := p.launch("etcd", etcdArguments(p.dir, etcd)); err != nil {
		return nil, err
	}
	if err := p.launch("kube-apiserver", apiserverArguments(etcd, api, secrets)); err != nil {
		return nil, err
	}
	if err := secrets.admin.await(ctx, "/readyz"); err != nil {
		return nil, err
	}
	// Not before: it looks for the API server once a second, and gives up after ten.
	if err := p.launch("kube-controller-manager", managerArguments(secrets)); err != nil {
		return nil, err
	}
	// Two controllers have a part in this account: when it is there, they all work.
	return secrets.admin, secrets.admin.await(ctx, "/api/v1/namespaces/default/serviceaccounts/default")
}

func (p *controlPlane) reserve() (*port, error) {
	port, err := reservePort()
	if err == nil {
		p.ports = append(p.ports, port)
	}
	return port, err
}

func (p *controlPlane) launch(name string, arguments []string) error {
	c, err := startComponent(p.dir, name, p.binaries[name], arguments...)
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
// shutdown until it is killed.
func (p *controlPlane) stop() error {
	close(p.stopping)
	for _, c := range slices.Backward(p.components) {
		c.stop()
	}
	var errs []error
	for _, port := range p.ports {
		errs = append(errs, port.release())
	}
	return errors.Join(errs...)
}

func etcdArguments(dir string, client *port) []string {
	return []string{
		"--data-dir=" + filepath.Join(dir, "etcd"),
		"--listen-client-urls=" + client.url("http"),
		"--advertise-client-urls=" + client.url("http"),
		"--listen-peer-urls=http://127.0.0.1:0", // a single member: nobody calls
		"--socket-reuse-port=true",
		"--unsafe-no-fsync=true",           // the data does not outlive the process
		"--quota-backend-bytes=8589934592", // 8 GiB: benchmarks store some 100,000 objects
		"--log-level=warn",
	}
}

func apiserverArguments(etcd, own *port, c *credentials) []string {
	return []string{
		"--etcd-servers=" + etcd.url("http"),
		"--bind-address=127.0.0.1",
		"--advertise-address=127.0.0.1",   // otherwise a machine without a default route cannot start it
		"--endpoint-reconciler-type=none", // loopback is no valid endpoint, and no pod would use it
		"--secure-port=" + own.decimal(),
		"--permit-port-sharing=true",
		"--tls-cert-file=" + c.serverCert,
		"--tls-private-key-file=" + c.serverKey,
		"--client-ca-file=" + c.ca,
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + c.accountKey,
		"--service-account-signing-key-file=" + c.accountKey,
		"--service-cluster-ip-range=10.96.0.0/16",
		"--authorization-mode=RBAC",
		"--max-requests-inflight=800", // twice the defaults: a test shares them with nobody
		"--max-mutating-requests-inflight=400",
	}
}

func managerArguments(c *credentials) []string {
	return []string{
		"--kubeconfig=" + c.manager,
		"--use-service-account-credentials=true", // each controller with its own rights, as in a real cluster
		"--service-account-private-key-file=" + c.accountKey,
		"--root-ca-file=" + c.ca,
		"--leader-elect=false",
		"--bind-address=127.0.0.1",
		"--secure-port=0",    // nobody asks for its metrics
		"--kube-api-qps=500", // at the default of 20 its first seconds go into fetching own tokens
		"--kube-api-burst=1000",
	}
}

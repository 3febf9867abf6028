package main

import (
	"path/filepath"

	"github.com/nfo-operator/nfo/test/cluster/node"
)

func etcdArguments(dir string, client *port) []string {
	return []string{
		"--data-dir=" + filepath.Join(dir, "etcd"),
		"--listen-client-urls=" + client.url("http"),
		"--advertise-client-urls=" + client.url("http"),
		"--listen-peer-urls=http://127.0.0.1:0", // a single member has no peers
		"--socket-reuse-port=true",
		"--unsafe-no-fsync=true",           // the data is deleted with the cluster
		"--quota-backend-bytes=8589934592", // 8 GiB: benchmarks store some 100,000 objects
		"--log-level=warn",
	}
}

func apiserverArguments(etcd, own *port, c *credentials) []string {
	arguments := []string{
		"--etcd-servers=" + etcd.url("http"),
		"--bind-address=" + own.address,
		// Without this address, the API server does not start on a machine without a default route.
		"--advertise-address=" + own.address,
		"--secure-port=" + own.decimal(),
		"--permit-port-sharing=true",
		"--tls-cert-file=" + c.serverCert,
		"--tls-private-key-file=" + c.serverKey,
		"--client-ca-file=" + c.ca,
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + c.accountKey,
		"--service-account-signing-key-file=" + c.accountKey,
		"--service-cluster-ip-range=" + node.Services,
		"--max-requests-inflight=800", // twice the default
		"--max-mutating-requests-inflight=400",
	}
	if c.node == nil {
		return append(arguments,
			"--authorization-mode=RBAC",
			"--endpoint-reconciler-type=none", // loopback is not a valid endpoint, and no pod would use it
		)
	}
	return append(arguments,
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",
		"--allow-privileged=true",
		"--kubelet-preferred-address-types=InternalIP", // the node's name cannot be resolved
		"--kubelet-certificate-authority="+c.ca,
		"--kubelet-client-certificate="+c.node.clientCert,
		"--kubelet-client-key="+c.node.clientKey,
	)
}

func managerArguments(c *credentials) []string {
	return []string{
		"--kubeconfig=" + c.manager,
		"--use-service-account-credentials=true", // each controller has only its own rights, as in a real cluster
		"--service-account-private-key-file=" + c.accountKey,
		"--root-ca-file=" + c.ca,
		"--leader-elect=false",
		"--bind-address=127.0.0.1",
		"--secure-port=0",    // no one reads its metrics
		"--kube-api-qps=500", // at the default of 20 the first seconds are spent on fetching the controllers' tokens
		"--kube-api-burst=1000",
	}
}

func schedulerArguments(c *nodeCredentials) []string {
	return []string{
		"--kubeconfig=" + c.scheduler,
		"--leader-elect=false",
		"--bind-address=127.0.0.1",
		"--secure-port=0",
	}
}

func kubeletArguments(n *node.Node, c *nodeCredentials) []string {
	return append(n.KubeletArguments(),
		"--kubeconfig="+c.kubelet,
		"--hostname-override="+node.Host,
		"--node-ip="+node.Address,
	)
}

func proxyArguments(c *nodeCredentials) []string {
	return []string{
		"--kubeconfig=" + c.proxy,
		"--hostname-override=" + node.Host,
		"--proxy-mode=iptables",
		"--cluster-cidr=" + node.Pods,
		"--conntrack-max-per-core=0", // 0 leaves the limit as it is: it applies to the whole machine
		"--bind-address=" + node.Address,
		"--healthz-bind-address=127.0.0.1:10256",
		"--metrics-bind-address=127.0.0.1:10249",
	}
}

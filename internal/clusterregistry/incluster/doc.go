// Package incluster manages the data that the registry's replicas share in the cluster: the certificate, the secret
// that signs the state of uploads, and the client certificate of the nodes' agents.
//
// Decision: the chart creates the Secrets and the ConfigMap without data, and the registry
// may only read and update these, by name. Rejected: the right to create Secrets, because
// it cannot be limited by name. An attacker who controls the registry, which many clients
// can reach, could create a Secret with a token of any ServiceAccount of the namespace.
package incluster

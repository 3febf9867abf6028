// Package caller makes sure that only the API server can call the webhooks.
//
// Contract: a request is answered if its path is in a webhook configuration now, or was within the last
// five minutes, because each API server learns of a change a little later. The package puts a secret
// into the paths, which only the API server and users who may read that configuration know: administrators.
//
// The webhook of pods is guarded in the same way, because its answers reveal what the mirror has, and because it has the
// images copied that it is asked about.
//
// The configuration in the cluster decides, not what this process remembers: if the chart's paths, without the secret, are
// applied again, requests at these paths are answered. They get a secret again within a minute. A request at an unknown
// path is refused only after the configuration was read again.
//
// Decision: a secret in the path. Rejected: client certificates, because no API server presents one unless its
// administrator configures it in a file of each API server. Rejected: the addresses of the API servers, because they are not
// known. Rejected: a NetworkPolicy, because API servers have no labels that it could select.
package caller

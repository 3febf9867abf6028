// Package caller lets the API server alone ask the webhooks.
//
// Contract: a request is answered if its path is one that a webhook configuration has now, or had
// within the last five minutes, for every API server learns of a change a little later. The package puts a secret
// into the paths, which only the API server and those who may read that configuration know: administrators.
//
// The pods' webhook is guarded alike: it tells what the mirror has, and has images copied that it is asked about.
//
// What the configuration says decides, not what this process remembers: after the chart's paths are applied again,
// without the secret, requests at these are answered. They get a secret again within a minute. A path that is not
// known is looked up before its request is refused.
//
// Decision: a secret in the path. Rejected: client certificates, which no API server presents unless its
// administrator configures that in a file of each of them; and the addresses of API servers, which are not known.
// A NetworkPolicy has no labels of an API server to select either.
package caller

// Package agent is the server from which the container runtime of a node pulls mirrored images, at a loopback address. It
// serves images from the registry that nfo ships and, if that does not have an image, from the image's origin: the registry
// that the image comes from.
//
// Contract: an [Agent] answers GET and HEAD requests for manifests and blobs at /v2/<host>_<port>/<repository>, and at
// /v2/<repository> with the query ns=<host:port>, which containerd sends to mirrors. It requests
// mirror.nfo.dev/<host>_<port>/<repository> from the replicas of the registry, with a client certificate, and then the image
// from the origin, with the login that the node sends or with none. [Listen] opens the port, and [Serve] speaks plain HTTP
// and TLS there. Nothing is stored on disk, and a blob is never held in memory.
//
// Invariants held here:
//   - R5: an image that can be pulled from its origin without a login can be pulled from the agent, whatever component of
//     nfo is down. The agent never sends requests to the manager, the API server or the webhook.
//   - No response is 401: a container runtime would then send its login for the origin, which is not meant for the agent. If
//     the origin refuses access, the response is 404 with the reason.
//   - A response begins within a bound, 10 seconds by default, or is 503: a container runtime waits longer for a mirror that
//     hangs than for one that refuses. If a response then makes no progress for 2 minutes, or an origin sends less than
//     64 KiB in 30 seconds of waiting, the agent ends the connection, and the runtime retries.
//   - Slow origins do not prevent the agent from serving what the registry has. At most three quarters of the concurrent
//     requests, and of the manifests that are read at the same time, wait for origins or send on what these send. At most
//     half of these are for one origin. A request that gets no turn is answered with 503, and the runtime retries.
//   - A manifest has its digest. A blob is verified by the runtime, and by the registry when it reads the blob.
//   - Only the path and the query decide what is pulled from where, never the Host of a request. Redirects of the registry
//     are not followed.
//
// Decision: TLS with a certificate that is created at the start and that no client can verify. It is for container runtimes
// that try HTTPS first at loopback addresses, as containerd does since 2.0, and do not verify certificates there. A process
// that can read the traffic of the loopback device can read the node's memory too. Rejected: to install the registry's
// certificate authority on every node, because that needs the files that the agent makes unnecessary.
//
// Decision: images can be pulled at the loopback address without a login. Every pod in the node's network can therefore pull
// them, and every author of pods can use them by their names in the mirror. Rejected: to check with the origin for each
// pull whether the login of the node is sufficient, because then nothing starts without the origin.
//
// Decision: one origin has at most 48 of 128 turns, even if the others are free. Everybody who can create a pod can choose
// an origin, and a turn is only free again when its response ends. Rejected: to share out all turns while they are free,
// because then the first slow origin takes them; a minimum rate alone, because an origin that sends slightly more than
// that keeps its turns forever.
//
// Decision: own code for the few requests of a pull. Rejected: net/http/httputil.ReverseProxy, because it has one upstream
// and forwards whatever it gets. Here only listed headers are forwarded, and a response counts only if it is a registry's.
package agent

// Package agent is what the container runtime of a node pulls mirrored images from, at a loopback address: the registry
// that nfo ships, and where that does not have an image, the registry that the image is from.
//
// Contract: an [Agent] answers GET and HEAD of manifests and blobs at /v2/<host>_<port>/<repository>, and with the query
// ns=<host:port>, as containerd sends it to mirrors, at /v2/<repository>. It asks the replicas of the registry, by a
// client certificate, for mirror.nfo.dev/<host>_<port>/<repository>, and then the origin, with the login that the node
// offers or with none. [Listen] takes its port, and [Serve] speaks plain HTTP and TLS there. Nothing is kept on disk, and
// a blob is never held in memory.
//
// What holds:
//   - R5: an image that can be pulled from its origin without a login can be pulled from the agent, whatever of nfo is
//     down. The manager, the API server and the webhook are never asked.
//   - No answer is 401: a container runtime would then send the login of the origin, which is not the agent's. What the
//     origin refuses is 404 with the reason.
//   - An answer begins within a bound, 10 seconds unless set otherwise, or is 503: a container runtime waits longer for a
//     mirror that hangs than for one that refuses. So does every next byte within 2 minutes, and of what an origin sends
//     every 64 KiB within 30 seconds of waiting for it, or the connection ends, and the runtime asks again.
//   - What the registry has is served whatever origins do: at most three quarters of the requests that are answered at a
//     time, and of the manifests that are read at a time, wait for origins or are sent on from them, and at most half
//     of these for one origin. Who finds no turn gets 503, and comes again.
//   - A manifest has its digest. A blob is verified by the runtime, and by the registry while it reads it.
//   - What is asked for decides about the way, never the Host of a request, and no redirect of the registry is followed.
//
// Decision: TLS with a certificate that is made at the start and that nobody can verify. It is for container runtimes that
// try HTTPS first at loopback addresses, as containerd does since 2.0, and do not verify there. Who could read along on
// the loopback device could read the node's memory. Rejected: the registry's authority on every node, which needs the
// files that the agent is there to avoid.
//
// Decision: images can be pulled at the loopback address without a login, and so by every pod of the node's network and,
// by its name in the mirror, by every author of pods. Rejected: to ask the origin for each pull whether the login that is
// offered would do, because then nothing starts without the origin.
//
// Decision: one origin has at most 48 of 128 turns, also while nobody else needs the others. Anybody who can make a pod
// chooses origins, and a turn comes back only when its answer ends. Rejected: to share out all turns while they are free,
// because then the first slow origin has them; and a least rate alone, because who sends a little more than that holds
// turns for as long as they like.
//
// Decision: own code for the few requests of a pull. Rejected: net/http/httputil.ReverseProxy, which has one upstream and
// sends on what it gets: here every header that goes on is named, and an answer counts only if it is one of a registry.
package agent

// Package mirrored reads from the manager's cache which images of a namespace the mirror has.
//
// Contract: it makes no request to the API server for a pod, so that a webhook can call it. What is not in the cache yet is
// an error or counts as missing, and the caller then leaves the pod unchanged. The rules come from the mirror's store, which
// has a fixed name in the manager's namespace; without that store nothing is mirrored.
//
// R5: while the nodes have agents and none is ready, for example because another process uses their port, no image counts
// as present in the mirror.
//
// Decision: the DaemonSet of the agents is read every few seconds. Rejected: to watch it, because the cache would need
// permission to watch all DaemonSets of the namespace; to read it for each pod, because that is a request to the API server.
//
// Decision: the labels of namespaces are watched only if the mirror selects namespaces by labels and the manager has the
// permission. Rejected: to watch them always, because most installations do not need that permission.
package mirrored

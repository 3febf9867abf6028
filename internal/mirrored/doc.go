// Package mirrored reads from the manager's cache what the mirror has of what a namespace runs.
//
// Contract: it makes no request to the API server, so that a webhook may ask it. What is not in the cache yet is an
// error or absent, and who asks leaves a pod as it is. The rules come from the store of the mirror, by its name in the
// manager's namespace; without it nothing is mirrored.
//
// R5: while the agents of the nodes are there and none is ready, such as when another process has their port, no image
// counts as one that can be pulled from the mirror.
//
// Decision: the DaemonSet of the agents is read every few seconds. Rejected: to watch it, for which the cache would need a
// right to all DaemonSets of the namespace; and to ask for each pod, which is a request to the API server.
//
// Decision: the labels of namespaces are watched only where the mirror selects namespaces by them, and only where the
// manager may. Rejected: to watch them always, with a right that most installations do not need.
package mirrored

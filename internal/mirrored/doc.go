// Package mirrored reads from the manager's cache what the mirror has of what a namespace runs.
//
// Contract: it makes no request to the API server, so that a webhook may ask it. What is not in the cache yet is an
// error or absent, and who asks leaves a pod as it is. The rules come from the store of the mirror, by its name in the
// manager's namespace; without it there is no mirror.
//
// Decision: the labels of namespaces are watched only where the mirror selects namespaces by them, and only where the
// manager may. Rejected: to watch them always, with a right that most installations do not need.
package mirrored

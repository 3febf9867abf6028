// Package node gives a directory what a Kubernetes node takes from its machine (a network
// namespace, a control group, configuration files) and takes all of it back.
//
// Contract: a machine has one node at a time, and the link /run/nfo-node names its directory.
// Everything else is in the directory's folder node, or ends with the namespace. Down undoes
// whatever Up did, however far that came and however its process ended, and touches nothing
// that Up found there; a second Down does nothing.
//
// Decision: processes are found by the control group that they were born in, mounts by the
// folder that they are in. Both are the kernel's own books: no number that another process has
// by now can mislead, and no container that nobody wrote down is overlooked.
// Rejected: `ip netns`, whose exec hides the control groups from what it starts, and whose
// namespaces are in a folder that would have to be taken back as well.
package node

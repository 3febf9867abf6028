// Package node changes this machine so that a Kubernetes node can run in a directory (a
// network namespace, a control group, configuration files), and undoes all these changes.
//
// Contract: a machine has one node at a time, and the link /run/nfo-node points to its directory. Everything else is
// in the folder node of that directory, or ends with the namespace. Down undoes everything that Up did, even if Up
// did not finish or its process was killed, and changes nothing that existed before Up. A second Down does nothing.
//
// Decision: Down finds processes by the control group in which they were started, and mounts by the folder in
// which they are. The kernel maintains both, so a reused process number cannot mislead, and no container is
// overlooked because it was not recorded. Rejected: `ip netns`, because its exec hides the control groups from the
// processes that it starts, and because its namespaces are in another folder, which would need a clean-up too.
package node

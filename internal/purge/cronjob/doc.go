// Package cronjob describes the objects with which a store's purges run.
//
// Contract: [Objects] returns what the manager creates: a CronJob, a ServiceAccount, and a RoleBinding to one
// ClusterRole for all purges. The exit codes and the name of the Lease are here because a Job shows them.
//
// Decision: the pod mounts the store's Secret. Rejected: to give the purge's account the right to read it.
package cronjob

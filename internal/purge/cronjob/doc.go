// Package cronjob describes the objects that a store's purges run from.
//
// Contract: [Objects] are what the manager creates: a CronJob, a ServiceAccount, and a RoleBinding to one ClusterRole
// of all purges. The exit codes and the name of the Lease are part of what a Job says, so they are here.
//
// Decision: the pod mounts the store's Secret. Rejected: a right of the purge's account to read it.
package cronjob

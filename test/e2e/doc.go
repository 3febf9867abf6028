// Package e2e tests the product end to end: helm installs the chart on a real node, a registry with a volume runs in
// the cluster, and everything else is done with kubectl. `make e2e` runs it as root, because a kubelet needs root.
//
// Contract: each test is one story whose chapters build on each other. The first chapter that
// fails ends the story, and the state and logs of the cluster are printed. At the end a table
// lists the chapters with their times. Nothing is left behind, unless NFO_E2E_KEEP is set.
//
// Decision: the tests are commands and folders of YAML, run by package story, because a user works
// in this way. Rejected: client code, because a test would then check calls that no user makes.
package e2e

// Package e2e proves the promise end to end: the chart is installed by helm on a real node, a
// registry with a volume runs beside it, and a person's kubectl does the rest. `make e2e` runs it, as
// root, because a kubelet needs that.
//
// Contract: each test is one story whose chapters build upon each other; the first one that does
// not go as expected ends it, and what the cluster had to say is printed. At the end there is a table of
// the sentences with their times. Nothing is left behind, unless NFO_E2E_KEEP is set.
//
// Decision: commands over folders of YAML, shown by package story, not client code: what is proven
// is what a person does.
package e2e

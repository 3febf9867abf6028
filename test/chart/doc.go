// Package chart proves the Helm chart: what each value makes of it, that it refuses what it does
// not know, that it installs what config does, and that releases come, change and go.
//
// Contract: every rendering is also given to a real API server, as a strict dry run in a namespace
// that admits restricted pods alone; so a field that does not exist, a value that is not valid or
// a pod that asks for too much fails a test, whichever row it is in.
//
// Decision: the helm binary of the version that go.mod of tools/helm pins, because that is what
// people run. Rejected: Helm as a library, which skips its command line; and a second set of
// expected renderings, which every change of the chart would write anew, unread.
package chart

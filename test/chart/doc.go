// Package chart tests the Helm chart: what each value changes, that unknown values are refused, that
// the chart installs what config does, and that a release can be installed, upgraded and uninstalled.
//
// Contract: every rendering is also sent to a real API server, as a strict dry run in a
// namespace that admits only restricted pods. So a field that does not exist, an invalid
// value or a pod with too many privileges fails a test, whichever values produce it.
//
// Decision: the tests run the helm binary, in the version that the go.mod of tools/helm pins, because
// users run it. Rejected: Helm as a library, because that skips its command line; and files with expected
// renderings, because every change of the chart would regenerate them and reviewers would not read them.
package chart

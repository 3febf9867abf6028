// Package registrytest runs the CNCF distribution registry for tests, pushes real images
// to it, and contains the conformance suite for the registries that nfo supports.
//
// Contract: [Start] gives a test its own registry on 127.0.0.1, in the test's process, which records requests and
// simulates faults. [StartProcess] starts an older version in a separate process. [Handler] serves a registry
// from a directory for a program. The Push functions need no test. [Conformance] runs against any registry.
//
// Decision: a real registry. Rejected: a fake, because deletion is what the tests are about,
// and fakes are more forgiving than registries: they keep a tag after its digest was deleted.
// The faults of other registries are simulated in front of the real one, for each request.
package registrytest

// Package registrytest serves the CNCF distribution registry, pushes real images to it, and
// holds the conformance suite of what nfo needs from a registry.
//
// Contract: [Start] gives a test its own registry on 127.0.0.1, in process, with recorded
// requests and faults on demand; [StartProcess] an older version in a process of its own;
// [Handler] serves one from a directory for a program; the Push functions need no test.
// [Conformance] runs against any registry.
//
// Decision: a real registry instead of a fake, because deletion is the point and fakes are
// kinder than registries: they keep a tag alive after its digest is gone. The faults of other
// registries are put in front of the real one, request by request.
package registrytest

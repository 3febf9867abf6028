// Package admin uses the routes that only the cluster's own registry has.
//
// Contract: [Routes] report how full the registry's volume is, request a collection, and request
// the deletion of manifests that nothing in the registry references, each on behalf of a store.
// For any other registry they return ErrUnsupported. Errors wrap one of the sentinels of package
// failure. Answers are bounded, and an invalid answer is ErrUnreadable, never an empty one (I2).
package admin

// Package admin asks the cluster's own registry what no other registry answers.
//
// Contract: [Routes] tell how full the registry's volume is, ask it to collect, and have it delete manifests that nothing in
// it references, each on behalf of a store. Any other registry is ErrUnsupported. Errors wrap one of the sentinels of package
// failure, answers are bounded, and one that makes no sense is ErrUnreadable, never an empty one (I2).
package admin

// Package aosm reads the JSON of Azure Operator Service Manager (AOSM) and makes nfo's objects from it.
//
// Contract: Import is pure: it reads its files, connects to nothing, and makes the same objects from the same input. The
// input is deployment templates (with Microsoft.HybridNetwork resources, also nested and in nested deployments), and the
// output of `az ... show`, `az ... list` or the REST API, of the API versions 2023-09-01 to 2025-03-30, in any order.
// The objects are valid by the schemas of their kinds. Keep merges an object with the one that an earlier import made.
//
// Invariants:
//
//   - Nothing is dropped silently: every member of the input is mapped, or is in a finding with its path.
//   - Nothing is guessed: an expression whose value is not in the input is reported, with what would decide it. A
//     value that only a deployment knows is a special character in texts (package arm), which no name can contain.
//   - A manifest's list is complete or the manifest is left out:
//     applying an incomplete list would release the other artifacts.
//   - Ids are parsed, and compared whole and regardless of case. cnfmanifest
//     is not cnfmanifest2. A text that AOSM's patterns forbid is not a name.
//   - Answers and templates can be imported in any order, with the same objects as the result: only answers have
//     states, the most complete id is kept, and so are the name, the state and the URL of an existing object.
//   - A hostile input costs bounded time and memory: its bytes, depth and values, and
//     what its expressions expand to, are bounded. Beyond a bound nothing is made at all.
//
// Names: a publisher becomes a namespace; a store or manifest keeps its name; a version is named <group>-<version>;
// the name of a site ends in a hash of its resource group. Names are lower-cased. If more must change, or two objects
// would have one name, a hash is appended. Labels have the publisher and the group, AnnotationID has the id in AOSM.
//
// Decision: the package has its own reader for the template language. Rejected: the Azure SDK. It decodes
// answers but no templates, silently drops members that it does not know, and is a large dependency for that.
package aosm

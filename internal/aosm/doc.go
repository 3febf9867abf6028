// Package aosm reads the JSON of Azure Operator Service Manager and makes objects of this product of it.
//
// Contract: Import is pure: it reads its files, talks to nobody, and makes the same of the same. The
// input is deployment templates (Microsoft.HybridNetwork resources, nested ones and nested deployments'
// too), what `az ... show` and `az ... list` print, or what the REST API answers, of the API versions
// 2023-09-01 to 2025-03-30, in any order. What it makes is valid by the schemas of its kinds. Keep says what
// an object becomes over the one that an earlier import has made.
//
// Invariants:
//
//   - Nothing is dropped silently: every member of the input is mapped, or is in a finding with its path.
//   - Nothing is guessed: an expression whose value is not in the input is reported, with what would decide it.
//     What only a deployment knows is a character of its own in texts (package arm), which no name can have.
//   - A manifest's list is whole or the manifest is left out: one that is applied with less releases the rest.
//   - Ids are parsed and compared whole and in any case. cnfmanifest is not cnfmanifest2. Text that AOSM's
//     patterns forbid is not a name.
//   - Answers and templates imported in any order end in the same objects: only answers have states, the
//     fullest id stays, and so do the name, the state and the URL of what is there.
//   - A hostile input costs bounded time and memory: its bytes, depth, values, and what its expressions
//     expand to are bounded, and beyond a bound nothing is made at all.
//
// How names become names: a publisher is a namespace; a store or manifest keeps its name; a version is called
// <group>-<version>; a site has a hash of its resource group after its name. Names go to lower case; where more has to
// change, or two objects would have one name, a hash follows. Labels have the publisher and the group, AnnotationID the
// id in AOSM.
//
// Decision: a reader of its own for the template language. Rejected: the Azure SDK, which decodes answers but no
// templates, drops members that it does not know without a word, and is a large dependency for that.
package aosm

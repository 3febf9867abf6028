// Package journal logs what the operator does, and counts it.
//
// Contract: each method of [Journal] stands for one act, and is called once when that is done: it writes one line whose
// keys are part of the product (docs/troubleshooting.md lists them), and adds to the metrics of the process. A nil
// Journal only writes the lines. It is safe for concurrent use.
//
// Invariants held here:
//
//   - What is counted costs bounded memory: the only names in labels are those of stores, of at most 10,000 stores at a
//     time, and Keep forgets those that have gone; codes of answers are those that are known, or their class.
//
// Decision: one place for all acts. Rejected: a counter beside each act, because the keys of the lines would differ from
// act to act, and nobody would see that an act is not counted.
package journal

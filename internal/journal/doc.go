// Package journal logs and counts the operator's actions.
//
// Contract: each method of [Journal] stands for one action, and is called once when the action is done. It writes one line
// whose keys are part of the product (docs/troubleshooting.md lists them), and updates the metrics of the process. A nil
// Journal only writes the lines. It is safe for concurrent use.
//
// Invariants held here:
//
//   - The metrics use bounded memory. The only names in labels are those of stores, of at most 10,000 stores at a
//     time, and Keep forgets those that no longer exist. Status codes are counted one by one if they are known, and
//     otherwise by class.
//
// Decision: one package for all actions. Rejected: a counter beside each action, because the keys of the lines would differ
// from action to action, and an action without a counter would not be noticed.
package journal

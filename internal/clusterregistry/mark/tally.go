package mark

import (
	"slices"
	"sync"
)

// maxProblems is the number of problems whose texts a tally keeps.
const maxProblems = 16

// Tally is the result of counting in a mark.
type Tally struct {
	// Seen is what the first mark has read, Unreached what no root reaches of it. Seen.Blobs counts folders.
	Seen, Unreached Counts
	// NotUnderstood are the first 16 references and manifests that are missing or cannot be understood, sorted, each
	// with its repository and the reason. Everything in their repositories is kept.
	NotUnderstood []string
	// NotUnderstoodCount counts all of them.
	NotUnderstoodCount int
}

// Counts counts the files that a mark reads.
type Counts struct {
	Repositories, Tags, Revisions, Layers, Referrers, Blobs int
	// Bytes is the size of the blobs.
	Bytes int64
}

func (c *Counts) add(more Counts) {
	c.Repositories += more.Repositories
	c.Tags += more.Tags
	c.Revisions += more.Revisions
	c.Layers += more.Layers
	c.Referrers += more.Referrers
	c.Blobs += more.Blobs
	c.Bytes += more.Bytes
}

// tally is a Tally that several goroutines update.
type tally struct {
	mu       sync.Mutex
	all      Tally
	problems map[string]bool
}

func (t *tally) add(seen, unreached Counts) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all.Seen.add(seen)
	t.all.Unreached.add(unreached)
}

// problem records a problem once. Beyond 1600 different problems, it counts repeated ones again.
func (t *tally) problem(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.problems[text] {
		return
	}
	if t.problems == nil {
		t.problems = map[string]bool{}
	}
	if len(t.problems) < 100*maxProblems {
		t.problems[text] = true
	}
	all := &t.all
	all.NotUnderstoodCount++
	if len(all.NotUnderstood) < maxProblems {
		all.NotUnderstood = append(all.NotUnderstood, text)
		slices.Sort(all.NotUnderstood)
	}
}

func (t *tally) copy() Tally {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := t.all
	all.NotUnderstood = slices.Clone(all.NotUnderstood)
	return all
}

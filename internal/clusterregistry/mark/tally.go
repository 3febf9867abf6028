package mark

import (
	"slices"
	"sync"
)

// maxProblems is the number of problems that a tally has in words.
const maxProblems = 16

// Tally is what a mark has counted.
type Tally struct {
	// Seen is what the first mark has read, Unreached what of it no root reaches. Seen.Blobs counts folders.
	Seen, Unreached Counts
	// NotUnderstood are the first 16 references and manifests that are missing or cannot be understood, in order, each
	// with its repository and the reason. Everything in their repository is kept.
	NotUnderstood []string
	// NotUnderstoodCount counts all of them.
	NotUnderstoodCount int
}

// Counts counts what a mark reads.
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

// tally is a Tally that several goroutines write.
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

// problem records a problem once. A mark that finds very many of them counts some twice.
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

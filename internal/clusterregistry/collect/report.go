package collect

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/nfo-operator/nfo/internal/clusterregistry/layout"
	"github.com/nfo-operator/nfo/internal/clusterregistry/mark"
)

// Counts counts files and their bytes by kind.
type Counts struct {
	Repositories int `json:"repositories"`
	Tags         int `json:"tags"`
	Revisions    int `json:"revisions"`
	Layers       int `json:"layers"`
	Referrers    int `json:"referrers"`
	Blobs        int `json:"blobs"`
	// Uploads counts unfinished uploads, and Files temporary files.
	Uploads int `json:"uploads"`
	Files   int `json:"files"`
	// Bytes is the size of the blobs, and UploadBytes that of the uploads.
	Bytes       int64 `json:"bytes"`
	UploadBytes int64 `json:"uploadBytes"`
}

// of returns the counter of a kind of file.
func (c *Counts) of(kind layout.Kind) *int {
	switch kind {
	case layout.Blob:
		return &c.Blobs
	case layout.Layer:
		return &c.Layers
	case layout.Revision:
		return &c.Revisions
	case layout.Referrer:
		return &c.Referrers
	case layout.Tag:
		return &c.Tags
	case layout.Upload:
		return &c.Uploads
	}
	return &c.Files
}

// add adds the counts of a mark.
func (c *Counts) add(more mark.Counts) {
	c.plus(Counts{
		Repositories: more.Repositories, Tags: more.Tags, Revisions: more.Revisions, Layers: more.Layers,
		Referrers: more.Referrers, Blobs: more.Blobs, Bytes: more.Bytes,
	})
}

// plus adds other counts.
func (c *Counts) plus(o Counts) {
	c.Repositories += o.Repositories
	c.Tags += o.Tags
	c.Revisions += o.Revisions
	c.Layers += o.Layers
	c.Referrers += o.Referrers
	c.Blobs += o.Blobs
	c.Uploads += o.Uploads
	c.Files += o.Files
	c.Bytes += o.Bytes
	c.UploadBytes += o.UploadBytes
}

// Report is the result of a cycle. After an error it has what was done until then.
type Report struct {
	// Cycle is the unique name of the cycle. The names sort by time.
	Cycle  string `json:"cycle"`
	DryRun bool   `json:"dryRun"`
	// Adopted counts the files of earlier cycles that were restored.
	Adopted int `json:"adopted"`
	// Seen is what the first mark read, Candidates what may be deleted of it. Seen.Blobs counts folders.
	Seen       Counts `json:"seen"`
	Candidates Counts `json:"candidates"`
	// Hidden is what was hidden, GivenBack what was restored of it, Deleted what was deleted.
	Hidden    Counts `json:"hidden"`
	GivenBack Counts `json:"givenBack"`
	Deleted   Counts `json:"deleted"`
	// NotUnderstood are the first 16 references and manifests of the last mark that are missing or cannot be
	// understood, sorted, each with its repository and the reason. Everything in their repositories is kept.
	NotUnderstood []string `json:"notUnderstood,omitempty"`
	// NotUnderstoodCount counts all of them.
	NotUnderstoodCount int `json:"notUnderstoodCount"`
	// Took is the duration of each phase, in nanoseconds in JSON.
	Took map[Phase]time.Duration `json:"took,omitempty"`
}

// Kept returns what the first mark saw that is not a candidate.
func (r Report) Kept() Counts {
	return Counts{
		Repositories: r.Seen.Repositories, Tags: r.Seen.Tags,
		Revisions: r.Seen.Revisions - r.Candidates.Revisions,
		Layers:    r.Seen.Layers - r.Candidates.Layers,
		Referrers: r.Seen.Referrers - r.Candidates.Referrers,
		Blobs:     r.Seen.Blobs - r.Candidates.Blobs,
	}
}

// Continues returns the report of a cycle that continues the work of earlier ones: what they hid, gave back and deleted, and
// the time that they took, counts, too.
func (r Report) Continues(earlier Report) Report {
	r.Adopted += earlier.Adopted
	r.Hidden.plus(earlier.Hidden)
	r.GivenBack.plus(earlier.GivenBack)
	r.Deleted.plus(earlier.Deleted)
	took := maps.Clone(earlier.Took)
	for phase, t := range r.Took {
		if took == nil {
			took = map[Phase]time.Duration{}
		}
		took[phase] += t
	}
	r.Took = took
	return r
}

// String returns the report in one line.
func (r Report) String() string {
	gone, did := r.Deleted, "deleted"
	if r.DryRun {
		gone, did = r.Candidates, "dry run: would delete"
	}
	var took time.Duration
	for _, t := range r.Took {
		took += t
	}
	line := fmt.Sprintf("cycle %s %s %d revisions, %d layer links, %d referrers, %d blobs (%d bytes), %d uploads (%d bytes) and %d temporary files in %s",
		r.Cycle, did, gone.Revisions, gone.Layers, gone.Referrers, gone.Blobs, gone.Bytes, gone.Uploads, gone.UploadBytes, gone.Files, took.Round(time.Millisecond))
	kept := r.Kept()
	line += fmt.Sprintf("; kept %d revisions, %d layer links and %d blobs of %d repositories with %d tags",
		kept.Revisions, kept.Layers, kept.Blobs, kept.Repositories, kept.Tags)
	if back := r.GivenBack; back.Revisions+back.Layers+back.Referrers+back.Blobs > 0 {
		line += fmt.Sprintf("; gave back %d revisions, %d layer links, %d referrers and %d blobs", back.Revisions, back.Layers, back.Referrers, back.Blobs)
	}
	if r.Adopted > 0 {
		line += fmt.Sprintf("; gave back %d files of earlier cycles", r.Adopted)
	}
	if r.NotUnderstoodCount > 0 {
		line += fmt.Sprintf("; %d cannot be understood and keep their repositories, first %s", r.NotUnderstoodCount, r.NotUnderstood[0])
	}
	return line
}

// ledger is a Report that several goroutines update.
type ledger struct {
	mu     sync.Mutex
	report Report
}

func (l *ledger) count(change func(r *Report)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(&l.report)
}

// marked adds the counts of a mark. Only the first mark counts what it
// has seen. The last mark's NotUnderstood replaces that of the first.
func (l *ledger) marked(t mark.Tally) {
	l.count(func(r *Report) {
		r.Seen.add(t.Seen)
		r.Candidates.add(t.Unreached)
		r.NotUnderstood, r.NotUnderstoodCount = t.NotUnderstood, t.NotUnderstoodCount
	})
}

func (l *ledger) copy() Report {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.report
	r.NotUnderstood = slices.Clone(r.NotUnderstood)
	return r
}

package scrub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
)

const (
	cursorPath = volume.Scrub + "/cursor"
	// maxCursor bounds the size of the cursor's file, in bytes.
	maxCursor = 4096
)

// cursor is the progress of a pass, as stored on the volume.
type cursor struct {
	// Began is the volume's time when the pass began.
	Began time.Time     `json:"began"`
	Last  digest.Digest `json:"last,omitempty"`
	// Ended is set once the pass has read everything.
	Ended      bool  `json:"ended,omitempty"`
	Blobs      int   `json:"blobs"`
	Bytes      int64 `json:"bytes"`
	Corrupt    int   `json:"corrupt"`
	Unreadable int   `json:"unreadable"`
}

// load continues from the cursor. It begins a new pass if the cursor is missing or invalid. If the cursor's pass has
// ended, it first waits for the end of that pass's period.
func (p *pass) load(ctx context.Context) error {
	now, err := p.volume.Now()
	if err != nil {
		return err
	}
	here := time.Now()
	c, err := p.cursor()
	if err != nil {
		return err
	}
	if c.Began.After(now) {
		c = cursor{} // The volume's clock was set back.
	}
	if c.Ended {
		next := c.Began.Add(p.options.Period)
		if err := wait(ctx, here.Add(next.Sub(now))); err != nil {
			return err
		}
		if next.Before(now) {
			next = now
		}
		c = cursor{Began: next}
	}
	if c.Began.IsZero() {
		c.Began = now
	}
	p.last, p.saved, p.began = c.Last, here, here.Add(c.Began.Sub(now))
	p.report = Report{Began: c.Began, Blobs: c.Blobs, Bytes: c.Bytes, Corrupt: c.Corrupt, Unreadable: c.Unreadable}
	return nil
}

func (p *pass) cursor() (c cursor, err error) {
	content, err := p.volume.ReadFile(cursorPath, maxCursor)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, volume.ErrTooLarge) {
		return cursor{}, nil
	}
	if err != nil {
		return cursor{}, err
	}
	if json.Unmarshal(content, &c) != nil || c.Last != "" && c.Last.Validate() != nil {
		return cursor{}, nil
	}
	return c, nil
}

func (p *pass) save(ended bool) error {
	r := p.report
	content, err := json.Marshal(cursor{Began: r.Began, Last: p.last, Ended: ended, Blobs: r.Blobs, Bytes: r.Bytes, Corrupt: r.Corrupt, Unreadable: r.Unreadable})
	if err != nil {
		return fmt.Errorf("writing the cursor of the scrub: %w", err)
	}
	// The cursor need not survive a power cut: some blobs are then read again.
	if err := p.volume.Write(cursorPath, content, true); err != nil {
		return err
	}
	p.saved = time.Now()
	return nil
}

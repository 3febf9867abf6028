package scrub

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/time/rate"

	"github.com/nfo-operator/nfo/internal/clusterregistry/layout"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
)

const (
	// chunk is the maximum number of bytes in one read.
	chunk = 256 << 10
	// maxListed is the maximum number of corrupt blobs, and of unreadable blobs, that a report lists.
	maxListed = 16
	// saveTime is the time after which the cursor is written even within a folder.
	saveTime = time.Minute
)

// ErrCorrupt means that the content of a blob does not match its digest.
var ErrCorrupt = errors.New("the blob is corrupt")

// Options configures a pass. The zero value of each field selects its default.
type Options struct {
	// Period is the duration of a pass: the blobs are read evenly
	// over it, and the next pass begins after it. Default: 30 days.
	Period time.Duration
	// BytesPerSecond bounds the read rate. If it is too low for the period,
	// the pass takes longer. Default: 0, limited only by the period.
	BytesPerSecond int64
	// Holder is the name of this process in the lease of the volume. Of the processes that call Run on one volume, one
	// reads and the others wait. Default: a random name for each call.
	Holder string
	// Found is called for each blob that is set aside, with an error that wraps
	// ErrCorrupt, and for each blob that cannot be read. Default: no call.
	Found func(d digest.Digest, reason error)
	// Read is called with the size of each blob that was read. Default: no call.
	Read func(bytes int64)
}

// Report is what a pass has found since it began, including before interruptions.
type Report struct {
	// Began is the volume's time when the pass began.
	Began time.Time
	// Blobs and Bytes count what was read.
	Blobs int
	Bytes int64
	// Corrupt counts the blobs that were set aside, Unreadable those that could not be read.
	Corrupt, Unreadable int
	// CorruptBlobs and UnreadableBlobs are the first 16 of them since the last interruption.
	CorruptBlobs, UnreadableBlobs []digest.Digest
}

// String returns the report in one line.
func (r Report) String() string {
	line := fmt.Sprintf("read %d blobs (%d bytes) since %s: %d corrupt and set aside, %d unreadable",
		r.Blobs, r.Bytes, r.Began.UTC().Format(time.RFC3339), r.Corrupt, r.Unreadable)
	if len(r.CorruptBlobs) > 0 {
		line += fmt.Sprintf("; first corrupt %s: push or copy the images that need it again", r.CorruptBlobs[0])
	}
	if len(r.UnreadableBlobs) > 0 {
		line += fmt.Sprintf("; first unreadable %s: check the volume", r.UnreadableBlobs[0])
	}
	return line
}

// Run runs one pass to its end, or continues an interrupted one. It first waits while another process reads, and until
// the period of the previous pass is over. An error means that the volume's folders cannot be listed, that the cursor
// or the lease cannot be read or written, that ctx has ended, or that another process holds the lease, which wraps
// ErrTaken. The next call continues from the cursor. The report is also valid after an error.
func Run(ctx context.Context, v *volume.Volume, o Options) (Report, error) {
	if o.Period < 0 || o.BytesPerSecond < 0 {
		return Report{}, fmt.Errorf("invalid options: the period %s or the rate of %d bytes a second is negative", o.Period, o.BytesPerSecond)
	}
	o.Period = cmp.Or(o.Period, 30*24*time.Hour)
	if o.Found == nil {
		o.Found = func(digest.Digest, error) {}
	}
	if o.Read == nil {
		o.Read = func(int64) {}
	}
	lease, err := acquire(ctx, v, cmp.Or(o.Holder, rand.Text()))
	if err != nil {
		return Report{}, err
	}
	ctx, release := lease.keep(ctx)
	defer release()
	p := &pass{volume: v, options: o, limit: rate.NewLimiter(rate.Inf, chunk), chunk: chunk}
	if o.BytesPerSecond > 0 {
		p.chunk = int(min(chunk, o.BytesPerSecond))
		p.limit = rate.NewLimiter(rate.Limit(o.BytesPerSecond), p.chunk)
	}
	err = p.run(ctx)
	return p.report, err
}

// pass is the state of one pass.
type pass struct {
	volume  *volume.Volume
	options Options
	limit   *rate.Limiter
	chunk   int
	report  Report
	// last is the last blob that was read. All blobs before it were read too.
	last digest.Digest
	// began is Report.Began by the clock of this process. saved is when the cursor was written.
	began, saved time.Time
}

func (p *pass) run(ctx context.Context) error {
	if err := p.load(ctx); err != nil {
		return err
	}
	algorithms, err := p.volume.List(layout.Blobs)
	if err != nil {
		return err
	}
	for i, a := range algorithms {
		folders, err := p.volume.List(path.Join(layout.Blobs, a.Name()))
		if err != nil {
			return err
		}
		for _, f := range folders {
			part := part{first: float64(i), of: float64(len(algorithms))}
			if err := p.folder(ctx, digest.Algorithm(a.Name()), f.Name(), part); err != nil {
				return err
			}
		}
	}
	return p.save(true)
}

// part is the fraction of the period in which the blobs of one algorithm are read.
type part struct{ first, of float64 }

// due returns when a blob is read. Digests are distributed evenly, so their first digits determine the time.
func (p *pass) due(d digest.Digest, in part) time.Time {
	digits, err := hex.DecodeString(d.Encoded()[:8])
	if err != nil {
		return p.began
	}
	at := (in.first + float64(binary.BigEndian.Uint32(digits))/(1<<32)) / in.of
	return p.began.Add(time.Duration(at * float64(p.options.Period)))
}

// folder reads the blobs of a folder that come after the last blob that was read.
func (p *pass) folder(ctx context.Context, algorithm digest.Algorithm, name string, in part) error {
	folder := path.Join(layout.Blobs, string(algorithm), name)
	if last := p.last; last != "" && folder < path.Dir(path.Dir(layout.BlobPath(last))) {
		return nil
	}
	entries, err := p.volume.List(folder)
	if err != nil {
		return err
	}
	before := p.last
	for _, e := range entries {
		at := layout.Parse(path.Join(folder, e.Name(), "data"))
		if at.Kind != layout.Blob || p.last != "" && layout.BlobPath(at.Digest) <= layout.BlobPath(p.last) {
			continue
		}
		if err := p.next(ctx, at.Digest, in); err != nil {
			return err
		}
	}
	if p.last == before {
		return nil
	}
	return p.save(false)
}

// next waits until a blob is due, and reads it.
func (p *pass) next(ctx context.Context, d digest.Digest, in part) error {
	err := wait(ctx, p.due(d, in))
	if err == nil {
		err = p.blob(ctx, d)
	}
	if err != nil {
		return p.interrupted(err)
	}
	p.last = d
	if time.Since(p.saved) < saveTime {
		return nil
	}
	return p.save(false)
}

// interrupted saves the cursor.
func (p *pass) interrupted(cause error) error {
	if err := p.save(false); err != nil {
		return fmt.Errorf("%w; saving the cursor: %w: the next pass reads some blobs again", cause, err)
	}
	return cause
}

func wait(ctx context.Context, until time.Time) error {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-timer.C:
		return context.Cause(ctx)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// corrupt records a blob that was set aside.
func (p *pass) corrupt(d digest.Digest, size int64) {
	p.report.Corrupt++
	p.report.CorruptBlobs = listed(p.report.CorruptBlobs, d)
	p.options.Found(d, fmt.Errorf("%w: it has %d bytes that do not have its digest, and was set aside: push or copy the images that need it again", ErrCorrupt, size))
}

func (p *pass) unreadable(d digest.Digest, err error) {
	p.report.Unreadable++
	p.report.UnreadableBlobs = listed(p.report.UnreadableBlobs, d)
	p.options.Found(d, fmt.Errorf("the blob was left where it is, check the volume: %w", err))
}

func listed(list []digest.Digest, d digest.Digest) []digest.Digest {
	if len(list) < maxListed && !slices.Contains(list, d) {
		return append(list, d)
	}
	return list
}

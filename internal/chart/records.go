package chart

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/nfo-operator/nfo/internal/chart/images"
	"github.com/nfo-operator/nfo/internal/chart/record"
)

// One child reads at most this many release records, and at most this many bytes unless a single record has more.
const (
	maxChildRecords     = 256
	maxChildRecordBytes = 4 << 20
)

// recordAnswer is the answer of a child for one release record.
type recordAnswer struct {
	Release record.Release
	Problem *chartProblem
}

// readRecords reads release records in this process, in their order.
func readRecords(records [][]byte, tell func(recordAnswer) error) error {
	for i, data := range records {
		release, err := readRecord(data)
		a := recordAnswer{Release: release}
		if err != nil {
			p := problemOf(err)
			a.Problem = &p
		}
		if err := tell(a); err != nil {
			return err
		}
		records[i] = nil // frees its memory for the next record
	}
	return nil
}

func readRecord(data []byte) (record.Release, error) {
	r, err := record.Decode(data)
	if err != nil {
		return record.Release{}, err
	}
	of := record.Release{Name: images.Clip(r.Name, images.MaxName), Status: images.Clip(r.Info.Status, images.MaxName), Revision: r.Version}
	seen := map[string]bool{}
	for i, part := range append([]record.Hook{{Manifest: r.Manifest}}, r.Hooks...) {
		name, hook := "its manifest", ""
		if i > 0 {
			hook = images.Clip(cmp.Or(part.Name, fmt.Sprint(i)), images.MaxName)
			name = "its hook " + hook
		}
		references, err := images.InManifest(part.Manifest)
		if err != nil {
			return record.Release{}, fmt.Errorf("%w: %s: %w", record.ErrUnreadable, name, err)
		}
		for _, reference := range references {
			if !seen[reference] {
				seen[reference] = true
				of.Images = append(of.Images, record.Image{Reference: reference, Hook: hook})
			}
		}
		if len(of.Images) > images.MaxSources {
			return record.Release{}, fmt.Errorf("%w: it names more than %d images", record.ErrTooLarge, images.MaxSources)
		}
	}
	return of, nil
}

// ReadReleases reads release records: the values of data.release of the Secrets in which Helm keeps one for each
// revision of a release. It returns a result for each, in their order. One process with the limits of a chart reads
// many small records. A record that exceeds the limits, or ends the process, has an error and does not affect the
// others. An error of ReadReleases is about the machine or the context, and not about a record: the results are then
// those of the first records, and the rest can be read later.
func (r *Reader) ReadReleases(ctx context.Context, records [][]byte) (results []record.Result, err error) {
	if os.Getenv(chartChild) != "" {
		return nil, errors.New("reading release records: a process that reads them starts no other")
	}
	for most := maxChildRecords; len(results) < len(records); {
		left := records[len(results):]
		if len(left[0]) > record.MaxBytes { // Decode refuses it, so no process is needed
			_, err := record.Decode(left[0])
			results = append(results, record.Result{Err: err})
			continue
		}
		batch := left[:batchOf(left, most)]
		read, death, err := r.readBatch(ctx, batch)
		results = append(results, read...)
		switch {
		case err != nil:
			return results, err
		case death != nil && len(batch) > 1: // the limits are meant for one record, so the next record is read alone
			most = 1
		case death == nil:
			most = maxChildRecords
		default:
			results = append(results, record.Result{Err: recordFailure(death)})
			most = maxChildRecords
		}
	}
	return results, nil
}

// batchOf returns how many records the next child reads, at least one.
func batchOf(records [][]byte, most int) (n int) {
	size := 0
	for n < min(len(records), most) {
		size += len(records[n])
		if n > 0 && (size > maxChildRecordBytes || len(records[n]) > record.MaxBytes) {
			break
		}
		n++
	}
	return n
}

// readBatch reads records in one child. death says why the child
// did not read the next record. err is not about a record.
func (r *Reader) readBatch(ctx context.Context, batch [][]byte) (read []record.Result, death, err error) {
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	case <-ctx.Done():
		return nil, nil, fmt.Errorf("waiting to read release records: %w", ctx.Err())
	}
	request, err := json.Marshal(task{Records: batch})
	if err != nil {
		return nil, nil, fmt.Errorf("encoding the request: %w", err)
	}
	end := r.run(ctx, request)
	for answers := json.NewDecoder(bytes.NewReader(end.out)); len(read) < len(batch); {
		var a recordAnswer
		if answers.Decode(&a) != nil {
			break
		}
		result := record.Result{Release: a.Release}
		if a.Problem != nil {
			result = record.Result{Err: a.Problem.err()}
		}
		read = append(read, result)
	}
	switch {
	case len(read) == len(batch):
		return read, nil, nil
	case ctx.Err() != nil:
		return read, nil, fmt.Errorf("reading release records: %w", ctx.Err())
	}
	if death = r.death(end); !AboutChart(death) {
		return read, nil, fmt.Errorf("reading release records: %w", death)
	}
	return read, death, nil
}

// recordFailure rewords the death of a child as an error about the record that it read.
func recordFailure(death error) error {
	for class, says := range map[error]string{
		ErrTooLarge: "its images are too many", ErrTimeout: "decoding it takes too long",
		ErrMemory: "decoding it takes too much memory", ErrCrashed: "the process that decodes it crashed",
	} {
		if errors.Is(death, class) {
			return &chartFailure{class, says + strings.TrimPrefix(death.Error(), class.Error())}
		}
	}
	return death
}

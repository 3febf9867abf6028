package workload

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/chart/record"
	"github.com/nfo-operator/nfo/internal/livelist"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/workload/decoded"
)

const (
	// recordsPage is the number of Secrets with release records in one page. Each takes up to 1 MiB.
	recordsPage = 8
	// enoughRecords is the size in bytes from which collected records
	// are decoded. With one more page, at most 10 MiB are in memory.
	enoughRecords = 2 << 20
	// maxNamed bounds the number of Secrets that a message names.
	maxNamed = 4
	// maxCause bounds the cause in a message, in bytes, to leave room for the remedy.
	maxCause = 300
)

// ReleaseReader decodes the records that Helm keeps of every revision of a release. They are hostile input, so it must
// bound their cost. The Reader of package chart implements it.
type ReleaseReader interface {
	// ReadReleases decodes values of data.release and returns a result for each, in their order. An error is not about a
	// single record; the results are then those of the first records.
	ReadReleases(ctx context.Context, records [][]byte) ([]record.Result, error)
}

var errNoReleaseReader = errors.New("this program cannot decode Helm release records; remove HelmReleases from spec.workloads.sources")

// records are the release records of a reading. Only one list of them is read at a time.
type records struct {
	releases ReleaseReader
	decoded  *decoded.Records
	// waiting are the records that have not been decoded yet, with their total size in bytes.
	waiting []recordSecret
	bytes   int
	// unreadable has the first maxNamed records that cannot be decoded,
	// more counts the others, and cause is the error of the first one.
	unreadable []string
	more       int
	cause      error
}

// recordSecret is a Secret with a release record.
type recordSecret struct {
	Metadata struct {
		metadata
		ResourceVersion string `json:"resourceVersion"`
	} `json:"metadata"`
	Data struct {
		Release []byte `json:"release"`
	} `json:"data"`
}

func (s *recordSecret) id() decoded.ID {
	return decoded.ID{UID: s.Metadata.UID, Version: s.Metadata.ResourceVersion}
}

// releaseRecord reads one Secret. A record without a remembered result is decoded later, by decodeRecords.
func (c *collector) releaseRecord(one livelist.Decoder) error {
	var s recordSecret
	if err := one.Decode(&s); err != nil {
		return fmt.Errorf("reading a Secret: %w", err)
	}
	if _, ignored := s.Metadata.Annotations[v1alpha1.AnnotationIgnore]; ignored {
		return nil
	}
	if known, ok := c.records.decoded.Get(s.Metadata.Namespace, s.id()); ok {
		return c.release(&s, known)
	}
	s.Metadata.metadata = metadata{Name: s.Metadata.Name, Namespace: s.Metadata.Namespace, UID: s.Metadata.UID}
	c.records.waiting = append(c.records.waiting, s)
	c.records.bytes += len(s.Data.Release)
	return nil
}

// decodeRecords decodes the waiting records if there are enough of them, or if last is set. With last it returns an
// error if any record of the reading could not be decoded.
func (c *collector) decodeRecords(ctx context.Context, last bool) error {
	r := c.records
	if len(r.waiting) > 0 && (last || r.bytes >= enoughRecords) {
		data := make([][]byte, len(r.waiting))
		for i := range r.waiting {
			data[i] = r.waiting[i].Data.Release
		}
		results, err := r.releases.ReadReleases(ctx, data)
		for i, result := range results[:min(len(results), len(data))] {
			s := &r.waiting[i]
			r.decoded.Put(s.Metadata.Namespace, s.id(), short(result))
			if err := c.release(s, result); err != nil {
				return err
			}
		}
		switch {
		case err != nil:
			return fmt.Errorf("decoding Helm release records: %w", err)
		case len(results) < len(data):
			return fmt.Errorf("decoding Helm release records: %d of %d were decoded", len(results), len(data))
		}
		r.waiting, r.bytes = nil, 0
	}
	if last {
		return r.err()
	}
	return nil
}

// short returns a result with its error cut to maxCause bytes.
func short(of record.Result) record.Result {
	if of.Err != nil {
		of.Err = errors.New(v1alpha1.Clip(of.Err.Error(), maxCause))
	}
	return of
}

// release records the uses of one release record, or that it cannot be decoded.
func (c *collector) release(s *recordSecret, of record.Result) error {
	r, m := c.records, s.Metadata
	if of.Err != nil {
		r.cause = cmp.Or(r.cause, of.Err)
		if len(r.unreadable) < maxNamed {
			r.unreadable = append(r.unreadable, m.Namespace+"/"+m.Name)
		} else {
			r.more++
		}
		return c.add(nil, "", owned{}, nil)
	}
	uses := map[Use]bool{}
	for _, i := range of.Release.Images {
		part := fmt.Sprintf("revision %d", of.Release.Revision)
		if i.Hook != "" {
			part += ", hook " + i.Hook
		}
		c.image(uses, i.Reference, part, false)
	}
	by := owned{
		object:      reference.Object{Kind: "HelmRelease", Namespace: m.Namespace, Name: cmp.Or(of.Release.Name, m.Name)},
		terminating: of.Release.Status == "uninstalling",
	}
	return c.add(nil, "", by, uses)
}

// err returns an error that names the records that cannot be decoded, and says what to do.
func (r *records) err() error {
	if len(r.unreadable) == 0 {
		return nil
	}
	namespace, name, _ := strings.Cut(r.unreadable[0], "/")
	text := fmt.Sprintf("cannot decode the Helm release record in Secret %s: %s. Delete this revision, or exclude it: kubectl annotate secret -n %s %s %s=true",
		r.unreadable[0], v1alpha1.Clip(v1alpha1.Line(r.cause.Error()), maxCause), namespace, name, v1alpha1.AnnotationIgnore)
	if others := r.unreadable[1:]; len(others) > 0 {
		text += "; the same for " + strings.Join(others, ", ")
	}
	if r.more > 0 {
		text += fmt.Sprintf(" and %d more", r.more)
	}
	return errors.New(text)
}

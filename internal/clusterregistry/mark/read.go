package mark

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"github.com/nfo-operator/nfo/internal/clusterregistry/layout"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
)

const (
	// searches is how often a file is searched in its place and in the trash, between which it can move.
	searches = 2
	// maxLink bounds the size of a link file that is read, in bytes. The longest digest has 135.
	maxLink = 1024
	// maxParsed bounds the cache of manifests' needs. Each entry takes about 400 bytes.
	maxParsed = 16_384
	// coarse is twice the coarsest granularity of a volume's clock.
	coarse = 2 * time.Second
	// requestLife is how long a request for a deletion is valid. After its request,
	// the caller checks whether anything outside the volume needs the revision, and
	// then requests a cycle. If the caller dies in between, its request expires soon.
	requestLife = 15 * time.Minute
)

// errBroken means that a link or manifest is missing, or was read and its needs are unknown.
var errBroken = errors.New("its repository keeps everything; push it again or delete it")

// needs is what a manifest reaches.
type needs struct {
	children, contents digests
	subject            digest.Digest
}

// Reader reads a volume during cycles: files in their place and in the trash. It is safe for concurrent use.
type Reader struct {
	volume *volume.Volume
	parsed *lru.Cache[sum, needs]
	// now is the volume's time when the reader was made. A file is surely
	// older than an age if its time is more than age plus slack before now.
	now   time.Time
	slack time.Duration
	// oldest is the time from which on a file is young, oldestRequest
	// the time from which on a request for a deletion is valid.
	oldest, oldestRequest time.Time
}

// NewReader returns a reader for one cycle. now is the volume's time. Files younger than grace are young.
func NewReader(v *volume.Volume, now time.Time, grace time.Duration) (*Reader, error) {
	parsed, err := lru.New[sum, needs](maxParsed)
	if err != nil {
		return nil, err
	}
	return readerAt(v, parsed, now, grace), nil
}

func readerAt(v *volume.Volume, parsed *lru.Cache[sum, needs], now time.Time, grace time.Duration) *Reader {
	// Only tests use a grace period shorter than coarse, on a volume with a finer clock.
	r := &Reader{volume: v, parsed: parsed, now: now, slack: min(coarse, max(grace, 0))}
	r.oldest, r.oldestRequest = r.Before(grace), r.Before(min(grace, requestLife))
	return r
}

// Before returns the time, by the volume's clock, before which
// a file must have been written to be surely older than age.
func (r *Reader) Before(age time.Duration) time.Time { return r.now.Add(-age - r.slack) }

func (r *Reader) young(info fs.FileInfo) bool { return !info.ModTime().Before(r.oldest) }

// List is Volume.List, and also returns no entries if a file is in place of the folder.
func (r *Reader) List(folder string) ([]fs.DirEntry, error) {
	entries, err := r.volume.List(folder)
	if errors.Is(err, unix.ENOTDIR) {
		return nil, nil
	}
	return entries, err
}

// anywhere calls read for a file's place, and for its paths in the trash of all
// cycles, until one of them exists. It wraps fs.ErrNotExist if none exists.
func (r *Reader) anywhere(file string, read func(at string) error) error {
	for range searches {
		if err := read(file); !volume.Missing(err) {
			return err
		}
		cycles, err := r.volume.Cycles()
		if err != nil {
			return err
		}
		for _, cycle := range cycles {
			if err := read(volume.HiddenPath(cycle, file)); !volume.Missing(err) {
				return err
			}
		}
	}
	return fmt.Errorf("reading %s: %w", file, fs.ErrNotExist)
}

func (r *Reader) exists(file string) (bool, error) {
	err := r.anywhere(file, func(at string) error {
		_, err := r.volume.Stat(at)
		return err
	})
	if volume.Missing(err) {
		return false, nil
	}
	return err == nil, err
}

func (r *Reader) content(file string, limit int64) (content []byte, err error) {
	err = r.anywhere(file, func(at string) error {
		content, err = r.volume.ReadFile(at, limit)
		return err
	})
	return content, err
}

// target returns the digest that a link contains. It wraps errBroken if
// the link contains no digest, and fs.ErrNotExist if the link is missing.
func (r *Reader) target(link string) (digest.Digest, error) {
	content, err := r.content(link, maxLink)
	if errors.Is(err, volume.ErrTooLarge) {
		return "", fmt.Errorf("%s names no digest: %w", link, errBroken)
	}
	if err != nil {
		return "", err
	}
	d, err := digest.Parse(strings.TrimSpace(string(content)))
	if err != nil {
		return "", fmt.Errorf("%s names no digest: %w", link, errBroken)
	}
	return d, nil
}

// blobOf returns the digest of the blob that the layer link or revision link of a digest refers to. For SHA-256 this is
// the digest itself; links of other algorithms contain it. If such a link is missing, it returns the digest itself. If
// the link contains no digest, it returns the digest itself and an error that wraps errBroken.
func (r *Reader) blobOf(link string, d digest.Digest) (digest.Digest, error) {
	if d.Algorithm() == digest.SHA256 {
		return d, nil
	}
	blob, err := r.target(link)
	if volume.Missing(err) {
		return d, nil
	}
	if err != nil {
		return d, err
	}
	return blob, nil
}

// manifest returns what the manifest of a digest needs. It wraps errBroken if the needs are unknown.
func (r *Reader) manifest(d digest.Digest) (needs, error) {
	if n, ok := r.parsed.Get(sumOf(d)); ok {
		return n, nil
	}
	content, err := r.content(layout.BlobPath(d), layout.MaxManifest)
	switch {
	case volume.Missing(err):
		return needs{}, fmt.Errorf("the manifest is missing: %w", errBroken)
	case errors.Is(err, volume.ErrTooLarge):
		return needs{}, fmt.Errorf("the manifest has more than %d bytes: %w", layout.MaxManifest, errBroken)
	case err != nil:
		return needs{}, err
	case d.Algorithm().FromBytes(content) != d:
		return needs{}, fmt.Errorf("the manifest does not have its digest, it is corrupt: %w", errBroken)
	}
	m, err := layout.ReadManifest(content)
	if err != nil {
		return needs{}, fmt.Errorf("%w: %w", err, errBroken)
	}
	n := needs{subject: m.Subject}
	for _, child := range m.Manifests {
		n.children.add(child.Digest)
	}
	for _, contents := range [][]layout.Descriptor{m.Contents, m.Foreign} {
		for _, c := range contents {
			n.contents.add(c.Digest)
		}
	}
	r.parsed.Add(sumOf(d), n)
	return n, nil
}

// digestsBelow calls use for each digest that has a folder <algorithm>/<hex> below a folder. For each folder of an
// unknown algorithm it calls unknown, unless that is nil.
func (r *Reader) digestsBelow(folder string, use func(d digest.Digest) error, unknown func(algorithm string)) error {
	algorithms, err := r.List(folder)
	if err != nil {
		return err
	}
	for _, a := range algorithms {
		algorithm := digest.Algorithm(a.Name())
		if !algorithm.Available() {
			if unknown != nil && !a.Type().IsRegular() {
				unknown(a.Name())
			}
			continue
		}
		if err := r.digestsOf(algorithm, path.Join(folder, a.Name()), use); err != nil {
			return err
		}
	}
	return nil
}

func (r *Reader) digestsOf(algorithm digest.Algorithm, folder string, use func(d digest.Digest) error) error {
	entries, err := r.List(folder)
	if err != nil {
		return err
	}
	for _, e := range entries {
		d := digest.NewDigestFromEncoded(algorithm, e.Name())
		if d.Validate() != nil {
			continue
		}
		if err := use(d); err != nil {
			return err
		}
	}
	return nil
}

// everywhere calls use for a folder in its place, with an empty cycle, then for the folder in the trash of each cycle,
// with the cycle's name, and, if moving is set, for the folder in its place again.
func (r *Reader) everywhere(folder string, moving bool, use func(at, cycle string) error) error {
	if err := use(folder, ""); err != nil {
		return err
	}
	cycles, err := r.volume.Cycles()
	if err != nil {
		return err
	}
	for _, cycle := range cycles {
		if err := use(volume.HiddenPath(cycle, folder), cycle); err != nil {
			return err
		}
	}
	if moving {
		return use(folder, "")
	}
	return nil
}

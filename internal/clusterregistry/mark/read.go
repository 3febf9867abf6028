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
	// looks is how often a file is looked for at its place and in the trash, between which it can move.
	looks = 2
	// maxLink bounds a link file, in bytes. The longest digest has 135.
	maxLink = 1024
	// maxParsed bounds the manifests whose needs are remembered. Each needs about 400 bytes.
	maxParsed = 16_384
	// coarse is the coarsest granularity of a volume's clock, twice.
	coarse = 2 * time.Second
	// requestLife is how long a request for a deletion counts. Who asked looks right after whether anything outside needs the
	// revision, and then asks for a cycle: one that died in between leaves nothing standing for long.
	requestLife = 15 * time.Minute
)

// errBroken is a link or manifest that was read, or is missing, and from which nobody can say what it needs.
var errBroken = errors.New("its repository keeps everything; push it again or delete it")

// needs is what a manifest reaches.
type needs struct {
	children, contents digests
	subject            digest.Digest
}

// Reader reads a volume as it is during cycles: at its place, and in the trash. It is safe for concurrent use.
type Reader struct {
	volume *volume.Volume
	parsed *lru.Cache[sum, needs]
	// now is when the reader was made, by the volume's clock. A file is surely older than an age if it is that and
	// slack before now.
	now   time.Time
	slack time.Duration
	// oldest is the time from which on a file is young, standing that from which on a request for a deletion counts.
	oldest, standing time.Time
}

// NewReader makes a reader for one cycle that begins now, by the volume's clock. Files below the age of grace are young.
func NewReader(v *volume.Volume, now time.Time, grace time.Duration) (*Reader, error) {
	parsed, err := lru.New[sum, needs](maxParsed)
	if err != nil {
		return nil, err
	}
	return readerAt(v, parsed, now, grace), nil
}

func readerAt(v *volume.Volume, parsed *lru.Cache[sum, needs], now time.Time, grace time.Duration) *Reader {
	// A grace shorter than that is one of a test, on a finer clock.
	r := &Reader{volume: v, parsed: parsed, now: now, slack: min(coarse, max(grace, 0))}
	r.oldest, r.standing = r.Before(grace), r.Before(min(grace, requestLife))
	return r
}

// Before is the time, by the volume's clock, before which a file was written that is surely older than age.
func (r *Reader) Before(age time.Duration) time.Time { return r.now.Add(-age - r.slack) }

func (r *Reader) young(info fs.FileInfo) bool { return !info.ModTime().Before(r.oldest) }

// List is Volume.List, and empty where there is no folder.
func (r *Reader) List(folder string) ([]fs.DirEntry, error) {
	entries, err := r.volume.List(folder)
	if errors.Is(err, unix.ENOTDIR) {
		return nil, nil
	}
	return entries, err
}

// anywhere calls read for the place of a file, and for its places in the trash of all cycles, until one is there.
// It wraps fs.ErrNotExist if none is.
func (r *Reader) anywhere(file string, read func(at string) error) error {
	for range looks {
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

func (r *Reader) content(file string, most int64) (content []byte, err error) {
	err = r.anywhere(file, func(at string) error {
		content, err = r.volume.ReadFile(at, most)
		return err
	})
	return content, err
}

// target is the digest that a link names. It wraps errBroken if the link names none, and fs.ErrNotExist if it is
// missing.
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

// blobOf is the blob that a layer link or revision link of a digest stands for. It is the digest itself for sha256;
// links of other algorithms name it. It is also the digest itself if such a link is missing or, with an error that
// wraps errBroken, if the link names none.
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

// manifest is what the manifest of a digest needs. It wraps errBroken if nobody can say it.
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

// digestsBelow calls use for each digest that has a folder <algorithm>/<hex> below a path, and unknown, unless it is
// nil, for each folder of an algorithm that nobody knows.
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

// everywhere calls use for a folder at its place, in the trash of each cycle with the cycle's name, and, if moving is
// set, at its place once more.
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

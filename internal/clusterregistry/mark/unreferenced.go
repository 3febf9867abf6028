package mark

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/internal/clusterregistry/layout"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
)

// maxListing is the time after which a list starts no further repository.
const maxListing = 10 * time.Second

// ErrYoung means that a revision was pushed, or restored by a collection, within the grace period.
var ErrYoung = errors.New("it was pushed within the registry's grace period")

// Unreferenced finds the revisions that nothing on a volume references, and lets the next cycle delete those of them
// that the caller requests. It is safe for concurrent use, also while cycles run.
type Unreferenced struct {
	volume *volume.Volume
	grace  time.Duration
	parsed *lru.Cache[sum, needs]
}

// Revision is a manifest of a repository.
type Revision struct {
	Repository string        `json:"repository"`
	Digest     digest.Digest `json:"digest"`
	// Since is the time of the last push, by the volume's clock.
	Since time.Time `json:"since"`
}

// NewUnreferenced takes the grace period, which must be that of the cycles.
func NewUnreferenced(v *volume.Volume, grace time.Duration) (*Unreferenced, error) {
	parsed, err := lru.New[sum, needs](maxParsed)
	return &Unreferenced{volume: v, grace: grace, parsed: parsed}, err
}

// List returns, in order, the revisions below a folder of repositories that a cycle with only tagged roots would delete
// now, except those whose deletion was already requested: no tag, no young revision and no kept subject reaches them.
// It returns at most limit revisions, and the value of after for the next call, or "" at the end. A repository with a
// manifest that is missing or cannot be understood has none.
func (u *Unreferenced) List(ctx context.Context, folder, after string, limit int) (found []Revision, next string, err error) {
	all, err := u.reader()
	if err != nil {
		return nil, "", err
	}
	p := page{limit: limit, began: time.Now()}
	p.name, p.digest, p.within = strings.Cut(after, "@")
	err = all.inOrder(ctx, folder, p.name, func(name string) error {
		if !p.within && name == p.name {
			return nil
		}
		if p.full() {
			return errEnough
		}
		of, err := all.unreferencedIn(ctx, name)
		if err != nil {
			return fmt.Errorf("reading the repository %s: %w", name, err)
		}
		return p.add(name, of)
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, "", err
	}
	return p.found, p.next, nil
}

// errEnough ends a list when its page is full.
var errEnough = errors.New("the page is full")

// page is one page of a list.
type page struct {
	limit int
	began time.Time
	// The page begins after the repository name or, if within is set, after the digest in that repository.
	name, digest string
	within       bool
	found        []Revision
	// done is the last repository that was read completely, next the value of after for the next page.
	done, next string
}

// full reports whether the page ends before the next repository.
func (p *page) full() bool {
	if p.done == "" || len(p.found) < p.limit && time.Since(p.began) < maxListing {
		return false
	}
	p.next = p.done
	return true
}

// add adds the revisions of a repository until the page is full.
func (p *page) add(name string, of []Revision) error {
	if name == p.name {
		of = slices.DeleteFunc(of, func(r Revision) bool { return r.Digest.String() <= p.digest })
	}
	if room := p.limit - len(p.found); len(of) > room {
		p.found = append(p.found, of[:room]...)
		p.next = name + "@" + of[room-1].Digest.String()
		return errEnough
	}
	p.found, p.done = append(p.found, of...), name
	return nil
}

// Delete requests that the next cycle deletes a revision. The cycle keeps the revision if something reaches it
// meanwhile, if it was pushed again, or if the cycle begins later than requestLife from now. The error wraps
// fs.ErrNotExist if the revision does not exist, and ErrYoung if it is young.
func (u *Unreferenced) Delete(repository string, d digest.Digest) error {
	now, err := u.reader()
	if err != nil {
		return err
	}
	// The request is written before the check: a later push is then
	// not older than the request, which makes the request void.
	ask := deletionPath(repository, d)
	if err := u.volume.WithReserve(func() error { return u.volume.Write(ask, []byte(d), true) }); err != nil {
		return err
	}
	info, err := u.volume.Stat(layout.RevisionPath(repository, d))
	if err == nil && !now.young(info) {
		return nil
	}
	if err == nil {
		err = ErrYoung
	}
	err = errors.Join(fmt.Errorf("deleting %s of %s: %w", d, repository, err), u.volume.Remove(ask))
	u.volume.RemoveEmpty(path.Dir(ask), volume.Deletions)
	return err
}

// deletionPath returns the path of the file that requests the deletion of a revision.
func deletionPath(repository string, d digest.Digest) string {
	return volume.Deletions + layout.RevisionPath(repository, d)
}

// reader returns a Reader with the volume's current time.
func (u *Unreferenced) reader() (*Reader, error) {
	now, err := u.volume.Now()
	if err != nil {
		return nil, err
	}
	return readerAt(u.volume, u.parsed, now, u.grace), nil
}

// unreferencedIn returns the revisions of a repository that nothing reaches, sorted by digest.
func (r *Reader) unreferencedIn(ctx context.Context, name string) ([]Revision, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	// A revision that a cycle has hidden may be restored. No cycle has the name "none", so the mark takes it as present.
	at := repository{name: name, Mark: New(r, "none", true, nil)}
	for _, step := range []func() error{at.readDeletions, at.readRevisions} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	var found []Revision
	for d := range at.revisions {
		if _, kept := at.kept[keyOf(d)]; kept || at.asked[d] {
			continue
		}
		info, err := r.volume.Stat(at.revisionPath(d))
		if volume.Missing(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		found = append(found, Revision{name, d, info.ModTime().UTC()})
	}
	slices.SortFunc(found, func(a, b Revision) int { return strings.Compare(a.Digest.String(), b.Digest.String()) })
	return found, nil
}

// readDeletions reads the requests for deletions. A request is void if it is not younger than its revision, because the
// revision was pushed again. It is also void if it is older than requestLife, because the caller's knowledge that
// nothing outside the volume needs the revision is then outdated.
func (r *repository) readDeletions() error {
	r.asked = map[digest.Digest]bool{}
	if r.again != nil {
		return nil
	}
	var files []string
	err := r.digestsBelow(volume.Deletions+layout.RevisionsOf(r.name), func(d digest.Digest) error {
		asked, err := r.volume.Stat(deletionPath(r.name, d))
		if volume.Missing(err) {
			return nil
		}
		if err != nil {
			return err
		}
		files = append(files, deletionPath(r.name, d))
		pushed, err := r.volume.Stat(r.revisionPath(d))
		if volume.Missing(err) {
			return nil
		}
		r.asked[d] = err == nil && !asked.ModTime().Before(r.oldestRequest) && pushed.ModTime().Before(asked.ModTime())
		return err
	}, nil)
	r.found.addDeletions(files)
	return err
}

// inOrder calls use for each repository below a folder that does not sort before from, parents first.
func (r *Reader) inOrder(ctx context.Context, folder, from string, use func(name string) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	found, below, err := r.folder(folder)
	if err != nil {
		return err
	}
	if found && !before(folder, from) {
		if err := use(folder); err != nil {
			return err
		}
	}
	for _, name := range below {
		if before(name, from) && !strings.HasPrefix(from, name+"/") {
			continue
		}
		if err := r.inOrder(ctx, name, from, use); err != nil {
			return err
		}
	}
	return nil
}

// folder reports whether a folder is a repository, and returns the folders below it.
func (r *Reader) folder(name string) (repository bool, below []string, err error) {
	entries, err := r.List(path.Join(layout.Repositories, name))
	for _, e := range entries {
		switch {
		case strings.HasPrefix(e.Name(), "_"):
			repository = name != ""
		case e.IsDir():
			below = append(below, path.Join(name, e.Name()))
		}
	}
	return repository, below, err
}

// before reports whether repository a sorts before repository b.
func before(a, b string) bool {
	return slices.Compare(strings.Split(a, "/"), strings.Split(b, "/")) < 0
}

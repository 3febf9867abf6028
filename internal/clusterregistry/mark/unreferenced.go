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

// maxListing is how long one list may take. It ends at the repository that is read then.
const maxListing = 10 * time.Second

// ErrYoung is a revision that was pushed, or given back by a collection, within the grace period.
var ErrYoung = errors.New("it was pushed within the registry's grace period")

// Unreferenced finds the revisions that nothing on a volume references, and has the next cycle delete those that nothing
// outside needs either. It is safe for concurrent use, also beside cycles.
type Unreferenced struct {
	volume *volume.Volume
	grace  time.Duration
	parsed *lru.Cache[sum, needs]
}

// Revision is a manifest of a repository.
type Revision struct {
	Repository string        `json:"repository"`
	Digest     digest.Digest `json:"digest"`
	// Since is when it was pushed last, by the volume's clock.
	Since time.Time `json:"since"`
}

// NewUnreferenced takes the grace period of the cycles, which must be the same.
func NewUnreferenced(v *volume.Volume, grace time.Duration) (*Unreferenced, error) {
	parsed, err := lru.New[sum, needs](maxParsed)
	return &Unreferenced{volume: v, grace: grace, parsed: parsed}, err
}

// List returns, in order, the revisions below a folder of repositories that a cycle which keeps nothing untagged would
// delete now, but for those whose deletion was asked for: no tag reaches them, nor a revision that is young, nor their subject.
// It returns at most so many of them, and what to continue after; "" at the end. A repository with a manifest that is missing
// or cannot be understood has none.
func (u *Unreferenced) List(ctx context.Context, folder, after string, most int) (found []Revision, next string, err error) {
	all, err := u.reader()
	if err != nil {
		return nil, "", err
	}
	p := page{most: most, began: time.Now()}
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

// errEnough ends a list.
var errEnough = errors.New("the page is full")

// page is a part of a list.
type page struct {
	most  int
	began time.Time
	// name is the repository after which the page begins or, with within, after the digest in it.
	name, digest string
	within       bool
	found        []Revision
	// done is the last repository that was read, next what the next page comes after.
	done, next string
}

// full reports whether the page ends before the next repository.
func (p *page) full() bool {
	if p.done == "" || len(p.found) < p.most && time.Since(p.began) < maxListing {
		return false
	}
	p.next = p.done
	return true
}

// add adds the revisions of a repository, as many as there is room for.
func (p *page) add(name string, of []Revision) error {
	if name == p.name {
		of = slices.DeleteFunc(of, func(r Revision) bool { return r.Digest.String() <= p.digest })
	}
	if room := p.most - len(p.found); len(of) > room {
		p.found = append(p.found, of[:room]...)
		p.next = name + "@" + of[room-1].Digest.String()
		return errEnough
	}
	p.found, p.done = append(p.found, of...), name
	return nil
}

// Delete asks the next cycle to delete a revision. That keeps it if something reaches it by then, or if it was pushed
// again, and so does one that begins later than requestLife from now. Errors wrap fs.ErrNotExist if no such
// revision, and ErrYoung.
func (u *Unreferenced) Delete(repository string, d digest.Digest) error {
	now, err := u.reader()
	if err != nil {
		return err
	}
	// First: what is pushed after this is not older than this file, and so it does not count.
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

// deletionPath is the file that asks for the deletion of a revision.
func deletionPath(repository string, d digest.Digest) string {
	return volume.Deletions + layout.RevisionPath(repository, d)
}

// reader reads the volume as it is now.
func (u *Unreferenced) reader() (*Reader, error) {
	now, err := u.volume.Now()
	if err != nil {
		return nil, err
	}
	return readerAt(u.volume, u.parsed, now, u.grace), nil
}

// unreferencedIn returns the revisions of a repository that nothing reaches, by digest.
func (r *Reader) unreferencedIn(ctx context.Context, name string) ([]Revision, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	// What a cycle has hidden may come back: it is at its place here.
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

// readDeletions reads which deletions were asked for. One that is not younger than its revision does not count: that was
// pushed again. Nor does one that is older than requestLife: anyone who asked knew then that nothing outside needs the
// revision.
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
		r.asked[d] = err == nil && !asked.ModTime().Before(r.standing) && pushed.ModTime().Before(asked.ModTime())
		return err
	}, nil)
	r.found.addDeletions(files)
	return err
}

// inOrder calls use for each repository below a folder that is not before another one, parents first.
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

// folder reports whether a folder is a repository, and which folders are below it.
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

// before reports whether a repository comes before another one.
func before(a, b string) bool {
	return slices.Compare(strings.Split(a, "/"), strings.Split(b, "/")) < 0
}

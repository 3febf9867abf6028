package mark

import (
	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/internal/clusterregistry/layout"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
)

// decide adds unreached files to the plan. In the second mark it instead records which files of the plan are reached now.
func (r *repository) decide() error {
	if r.again != nil {
		r.decideAgain()
		return nil
	}
	var u unreached
	seen := Counts{Repositories: 1}
	for d, s := range r.revisions {
		seen.Revisions++
		if _, ok := r.kept[keyOf(d)]; !ok && s.placed {
			u.revisions.add(d)
		}
	}
	if err := r.unreachedLayers(&u, &seen); err != nil {
		return err
	}
	if err := r.unreachedReferrers(&u, &seen); err != nil {
		return err
	}
	r.found.add(r.name, &u)
	r.tally.add(seen, Counts{Revisions: u.revisions.len(), Layers: u.layers.len(), Referrers: len(u.referrers)})
	return nil
}

func (r *repository) unreachedLayers(u *unreached, seen *Counts) error {
	return r.digestsBelow(layout.LayersOf(r.name), func(d digest.Digest) error {
		seen.Layers++
		if _, ok := r.layers[keyOf(d)]; ok || r.keepAll {
			return nil
		}
		old, err := r.oldAt(r.layerPath(d))
		if old {
			u.layers.add(d)
		}
		return err
	}, nil)
}

func (r *repository) unreachedReferrers(u *unreached, seen *Counts) error {
	return r.digestsBelow(layout.AllReferrersOf(r.name), func(subject digest.Digest) error {
		return r.digestsBelow(layout.ReferrersOf(r.name, subject), func(d digest.Digest) error {
			seen.Referrers++
			_, kept := r.kept[keyOf(d)]
			if kept || r.keepAll {
				return nil
			}
			old, err := r.oldAt(layout.ReferrerPath(r.name, subject, d))
			if old {
				u.referrers = append(u.referrers, referrer{subject: subject, manifest: d})
			}
			return err
		}, nil)
	}, nil)
}

// oldAt reports whether a file exists at a path and is older than the grace period.
func (r *Reader) oldAt(file string) (bool, error) {
	info, err := r.volume.Stat(file)
	if volume.Missing(err) {
		return false, nil
	}
	return err == nil && !r.young(info), err
}

func (r *repository) decideAgain() {
	planned, back := r.again.of(r.name), unreached{}
	for d := range planned.revisions.all() {
		if _, ok := r.kept[keyOf(d)]; ok {
			back.revisions.add(d)
		}
	}
	for d := range planned.layers.all() {
		if _, ok := r.layers[keyOf(d)]; ok {
			back.layers.add(d)
		}
	}
	for _, e := range planned.referrers {
		if _, ok := r.kept[keyOf(e.manifest)]; ok || r.keepAll {
			back.referrers = append(back.referrers, e)
		}
	}
	r.back.add(r.name, &back)
}

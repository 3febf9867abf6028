package clusterregistry_test

// A collector remembers three sets and the tag: what its last mark keeps,
// what it will hide, and, while it marks, the revisions that it has read.
const (
	keepShift      = 0
	candidateShift = keepShift + local(objects)
	revisionShift  = candidateShift + local(objects)
	tagAtShift     = revisionShift + 2
	missed         = local(1) << (tagAtShift + 2) // the manifest was not at its real path
	placeTaken     = missed << 1                  // the file could not be restored, because another file is at its real path
)

func (l local) at(shift local) set          { return set(l>>shift) & all }
func (l *local) setAt(shift local, s set)   { *l = *l&^(local(all)<<shift) | local(s)<<shift }
func (l *local) addKeep(s set)              { l.setAt(keepShift, l.at(keepShift)|s) }
func (l local) tag() manifest               { return manifest(l >> tagAtShift & 3) }
func (l *local) setTag(m manifest)          { *l = *l&^(3<<tagAtShift) | local(m)<<tagAtShift }
func (l local) hasRevision(m manifest) bool { return l>>revisionShift&local(m) != 0 }
func (l *local) setRevisions(ms manifest)   { *l = *l&^(3<<revisionShift) | local(ms)<<revisionShift }

// collector is one cycle of a collector.
type collector struct {
	*script
	cycle cycle
}

// collect returns the process of one cycle. With adopts, the cycle begins by restoring what the other cycle has hidden.
func collect(r rules, c cycle, adopts bool) process {
	k := collector{&script{rules: r}, c}
	if adopts {
		k.adopt()
	}
	k.markOne()
	if r.breaks(noQuarantine) {
		for _, x := range k.objects(revI, revM, linkL, blobI, blobM, blobL) {
			k.do("deletes the "+x.String(), func(w *world, l *local) int {
				if l.at(candidateShift).has(x) {
					w.erase(x, live)
				}
				return next
			})
		}
	} else {
		k.hide()
		k.markTwo()
		k.giveBackOrDelete()
	}
	k.do("ends", func(*world, *local) int { return done })
	return process{name: "collector " + string('0'+rune(c)), steps: k.steps}
}

// objects leaves out the layer link if the model has none.
func (k collector) objects(xs ...object) (of []object) {
	for _, x := range xs {
		if x != linkL || k.rules.links {
			of = append(of, x)
		}
	}
	return of
}

// notHidden returns a condition that holds if the object is not in
// the cycle's own trash. Only the collector itself moves files there.
func (k collector) notHidden(x object) func(w world, _ local) bool {
	return func(w world, _ local) bool { return !w.is(x, k.cycle.trash()) }
}

// adopt is C0: it restores what the other cycle has hidden. A file whose place is
// taken stays in the trash and is deleted there. This is safe because a cycle hides
// a path at most once, so no other file can have come to that path in the trash.
func (k collector) adopt() {
	others := k.cycle.other().trash()
	for _, x := range k.objects(revI, blobI, revM, blobM, linkL, blobL) {
		k.do("gives back the "+x.String()+" of another", func(w *world, l *local) int {
			if w.is(x, others) && w.is(x, live) || k.rules.breaks(adopterDeletes) {
				*l |= placeTaken
			}
			k.rules.giveBack(w, x, others)
			return next
		})
		free := func(_ world, l local) bool { return l&placeTaken == 0 }
		k.doUnless(free, "deletes the "+x.String()+" of another", func(w *world, l *local) int {
			if *l&placeTaken != 0 {
				w.erase(x, others)
			}
			*l &^= placeTaken
			return next
		})
	}
}

// markOne is C1.
func (k collector) markOne() {
	r := k.rules
	k.do("mark 1 reads the tag", func(w *world, l *local) int { l.setTag(w.tag()); return next })
	k.do("mark 1 reads the revisions", func(w *world, l *local) int {
		var keep, candidates set
		for _, m := range []manifest{image, index} {
			rev := m.revision()
			if l.tag() == m || w.is(rev, live) && (r.keepUntagged || w.isYoung(rev)) {
				keep |= r.needs(*w, rev)
			}
		}
		for _, rev := range []object{revM, revI} {
			if w.is(rev, live) && (!keep.has(rev) || r.blindMark && !r.keepUntagged && !w.isYoung(rev)) {
				candidates |= setOf(rev)
			}
		}
		l.setTag(0)
		l.setAt(keepShift, keep)
		l.setAt(candidateShift, candidates)
		return next
	})
	if r.links {
		k.do("mark 1 reads the layer links", func(w *world, l *local) int {
			k.rootOfLink(*w, l, live)
			k.addCandidate(*w, l, linkL)
			return next
		})
	}
	k.do("mark 1 reads the blobs", func(w *world, l *local) int {
		for _, x := range []object{blobI, blobM, blobL} {
			k.addCandidate(*w, l, x)
		}
		l.setAt(keepShift, 0)
		return next
	})
}

// rootOfLink keeps a young layer link that is at one of the places, and its layer.
func (k collector) rootOfLink(w world, l *local, where fact) {
	if w.is(linkL, where) && w.isYoung(linkL) && !k.rules.breaks(noRootsOfLinks) {
		l.addKeep(setOf(linkL, blobL))
	}
}

func (k collector) addCandidate(w world, l *local, x object) {
	if w.is(x, live) && (!l.at(keepShift).has(x) || k.rules.blindMark) && !w.isYoung(x) {
		l.setAt(candidateShift, l.at(candidateShift)|setOf(x))
	}
}

// hide is C2.
func (k collector) hide() {
	own := k.cycle.trash()
	for _, x := range k.objects(revI, revM, linkL, blobI, blobM, blobL) {
		noCandidate := func(_ world, l local) bool { return !l.at(candidateShift).has(x) }
		k.doUnless(noCandidate, "hides the "+x.String(), func(w *world, l *local) int {
			candidates := l.at(candidateShift)
			if candidates.has(x) && w.is(x, live) {
				w.clear(x, live)
				w.set(x, own)
			}
			l.setAt(candidateShift, candidates&^setOf(x))
			return next
		})
		if k.rules.breaks(noLookAtAge) {
			continue
		}
		k.doUnless(k.notHidden(x), "gives back the "+x.String()+" if it is young", func(w *world, _ *local) int {
			if w.isYoung(x) {
				k.rules.giveBack(w, x, own)
			}
			return next
		})
	}
}

// markTwo is C4 without restoring. A revision or a layer link counts wherever it is, except in the cycle's own trash:
// another collector that hides it may restore it.
func (k collector) markTwo() {
	r := k.rules
	k.do("mark 2 reads the tag", func(w *world, l *local) int { l.setTag(w.tag()); return next })
	others := k.cycle.other().trash()
	k.roots("mark 2 reads ", live)
	if !r.breaks(marksOwnSightOnly) {
		k.roots("mark 2 reads in the other trash ", others)
	}
	if !r.breaks(marksOwnSightOnly | marksReadOnce) {
		k.roots("mark 2 reads once more ", live)
	}
	always := func(world, local) bool { return true }
	k.doUnless(always, "mark 2 begins with the roots", func(_ *world, l *local) int {
		for _, m := range []manifest{image, index} {
			if l.tag() == m || l.hasRevision(m) {
				l.addKeep(setOf(m.revision(), m.revision()+1))
			}
		}
		l.setTag(0)
		l.setRevisions(0)
		return next
	})
	k.read(blobI, setOf(revM, blobM))
	k.read(blobM, setOf(linkL, blobL))
}

// roots reads the revisions and layer links at their real paths or in the other trash.
func (k collector) roots(name string, where fact) {
	k.do(name+"the revisions", func(w *world, l *local) int {
		for _, m := range []manifest{image, index} {
			if w.is(m.revision(), where) && !k.rules.breaks(secondMarkOfTagsOnly) {
				l.setRevisions(manifest(*l>>revisionShift&3) | m)
			}
		}
		return next
	})
	if k.rules.links {
		k.do(name+"the layer links", func(w *world, l *local) int { k.rootOfLink(*w, l, where); return next })
	}
}

// read reads a manifest that is kept, at its real path and then in the trash. If the manifest is in neither place, it
// does not count as absent, and nothing is deleted (R3).
func (k collector) read(x object, needs set) {
	notKept := func(_ world, l local) bool { return !l.at(keepShift).has(x) }
	found := func(_ world, l local) bool { return l&missed == 0 }
	k.doUnless(notKept, "mark 2 opens the "+x.String(), func(w *world, l *local) int {
		switch {
		case !l.at(keepShift).has(x):
		case w.is(x, live):
			l.addKeep(needs)
		default:
			*l |= missed
		}
		return next
	})
	k.doUnless(found, "mark 2 opens the "+x.String()+" in the trash", func(w *world, l *local) int {
		switch {
		case *l&missed == 0:
		case w.is(x, inT1|inT2):
			l.addKeep(needs)
		case !k.rules.breaks(movedIsAbsent):
			l.addKeep(all)
		}
		*l &^= missed
		return next
	})
}

// giveBackOrDelete is the rest of C4, and C5.
func (k collector) giveBackOrDelete() {
	own := k.cycle.trash()
	for _, x := range k.objects(blobL, blobM, blobI, linkL, revM, revI) {
		k.doUnless(k.notHidden(x), "gives back the "+x.String()+" if it is marked", func(w *world, l *local) int {
			keep := l.at(keepShift)
			if keep.has(x) {
				k.rules.giveBack(w, x, own)
			}
			l.setAt(keepShift, keep&^setOf(x))
			return next
		})
	}
	for _, x := range k.objects(revI, revM, linkL, blobI, blobM, blobL) {
		k.doUnless(k.notHidden(x), "deletes the "+x.String(), func(w *world, _ *local) int { w.erase(x, own); return next })
	}
}

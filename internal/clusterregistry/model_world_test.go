package clusterregistry_test

// The model of the collection protocol has one repository with an index that has one child, an image that has one
// layer. Every object below is one file of the registry's directory.

// object is a file. The objects are numbered so that everything below an object has a higher number.
type object uint8

const (
	revI  object = iota // the revision link of the index
	blobI               // the content of the index
	revM                // the revision link of the image
	blobM               // the content of the image's manifest
	linkL               // the layer link: this repository may read the layer
	blobL               // the content of the layer
	objects
)

var objectNames = [objects]string{"revision of the index", "index", "revision of the image", "image", "layer link", "layer"}

func (x object) String() string { return objectNames[x] }

// isManifest reports whether the object's content determines what is below it.
func (x object) isManifest() bool { return x == blobI || x == blobM }

// set is a set of objects, one bit each.
type set uint32

const all = set(1)<<objects - 1

func (s set) has(x object) bool { return s>>x&1 == 1 }

func setOf(xs ...object) (s set) {
	for _, x := range xs {
		s |= 1 << x
	}
	return s
}

// manifest is what a tag points to, or 0 for a tag that does not exist.
type manifest uint32

const (
	image manifest = 1
	index manifest = 2
)

func (m manifest) revision() object {
	if m == index {
		return revI
	}
	return revM
}

// fact is one bit that is true of an object.
type fact uint32

const (
	live  fact = 1 << iota // at its real path
	inT1                   // in the trash of the first cycle
	inT2                   // in the trash of the second cycle
	young                  // written, restored or touched within the grace period
	width = 4              // the number of facts
)

// cycle is one run of a collector with its own trash: 1 or 2.
type cycle uint8

func (c cycle) trash() fact  { return live << c }
func (c cycle) other() cycle { return 3 - c }

// world is what all processes share: four facts about each object, the tag, and what was acknowledged.
type world uint32

const (
	tagShift             = width * objects
	tagAcknowledged      = world(1) << (tagShift + 2) // the push of what the tag points to was acknowledged
	revisionAcknowledged = world(1) << (tagShift + 3) // a push of the image by digest was acknowledged
	untagged             = world(1) << (tagShift + 4) // the tag has been deleted by its user
	aged                 = world(1) << (tagShift + 5) // the grace period of what was written before has ended
)

func (w world) is(x object, f fact) bool { return w>>(width*x)&world(f) != 0 }
func (w *world) set(x object, f fact)    { *w |= world(f) << (width * x) }
func (w *world) clear(x object, f fact)  { *w &^= world(f) << (width * x) }
func (w world) tag() manifest            { return manifest(w >> tagShift & 3) }
func (w *world) setTag(m manifest)       { *w = *w&^(3<<tagShift) | world(m)<<tagShift }

// fault is a rule that a broken variant of the protocol does not follow.
type fault uint32

const (
	noLookAfterPublication fault = 1 << iota
	noLookAfterTag               // only the check after the revision link is made, not the one after the tag
	shallowLook                  // a check of an index ends at the revision links of its children
	noLookAtLayerLinks           // a check leaves out the layer links
	takesLinkBack                // a push that fails deletes its revision link
	noQuarantine                 // the collector deletes without hiding first
	noLookAtAge                  // the collector does not read the age after hiding
	secondMarkOfTagsOnly         // the second mark does not treat untagged revisions as roots
	marksOwnSightOnly            // a mark does not read the revisions and layer links that another collector hides
	marksReadOnce                // a mark does not read the real paths again after the trash
	movedIsAbsent                // the second mark treats a manifest that is renamed meanwhile as absent
	adopterDeletes               // a collector also deletes from another's trash what it has not found live
	givesBackOver                // restoring overwrites a live file, and its age, with the older file
	noRescue                     // a check does not rename back
	noRootsOfLinks               // a mark does not treat young layer links as roots
	noLease                      // HEAD of a blob does not touch the layer link
)

// rules are the settings of the protocol, and the rules that a broken variant leaves out.
type rules struct {
	// grace: recently written objects are young. Without it, the grace period is 0 and no object is ever young.
	grace bool
	// keepUntagged: every present revision is a root, tagged or not. Without it, old untagged revisions are candidates.
	keepUntagged bool
	// links: the model has layer links.
	links bool
	// blindMark: the first mark overlooks every root, so that everything old
	// is a candidate, except revisions that are kept because they are present.
	blindMark bool
	broken    fault
}

func (r rules) breaks(f fault) bool { return r.broken&f != 0 }

// below returns the object and everything that it needs, top down.
func (r rules) below(x object) (xs []object) {
	for ; x < objects; x++ {
		if x != linkL || r.links {
			xs = append(xs, x)
		}
	}
	return xs
}

// needs returns what a mark adds for one revision that is a root. The walk ends at a manifest that exists nowhere.
func (r rules) needs(w world, root object) (keep set) {
	for _, x := range r.below(root) {
		keep |= setOf(x)
		if x.isManifest() && !w.is(x, live|inT1|inT2) {
			break
		}
	}
	return keep
}

// renew makes an object present at its real path, and young.
func (r rules) renew(w *world, x object) {
	w.set(x, live)
	r.touch(w, x)
}

func (r rules) touch(w *world, x object) {
	if r.grace {
		w.set(x, young)
	}
}

// isYoung reports whether the grace period protects an object.
func (w world) isYoung(x object) bool { return w.is(x, young) }

// erase deletes one copy of an object. An object without a copy has no age.
func (w *world) erase(x object, f fact) {
	w.clear(x, f)
	if !w.is(x, live|inT1|inT2) {
		w.clear(x, young)
	}
}

// look reports whether an object is present. It first renames the object back from a trash if necessary.
func (r rules) look(w *world, x object) bool {
	if w.is(x, live) {
		return true
	}
	for _, f := range []fact{inT1, inT2} {
		if !r.breaks(noRescue) && w.is(x, f) {
			w.clear(x, f)
			r.renew(w, x)
			return true
		}
	}
	return false
}

// giveBack renames an object from a trash to its real path, unless that is taken. The object becomes young.
func (r rules) giveBack(w *world, x object, from fact) {
	switch {
	case !w.is(x, from):
	case !w.is(x, live):
		w.clear(x, from)
		r.renew(w, x)
	case r.breaks(givesBackOver):
		w.clear(x, from|young)
	}
}

// lost reports whether something that was acknowledged, and is still referenced, cannot be read (R2).
func (r rules) lost(w world) bool {
	present := live | inT1 | inT2
	if r.breaks(noRescue) {
		present = live
	}
	misses := func(root object) bool {
		for _, x := range r.below(root) {
			if !w.is(x, present) {
				return true
			}
		}
		return false
	}
	return w&tagAcknowledged != 0 && misses(w.tag().revision()) || w&revisionAcknowledged != 0 && misses(revM)
}

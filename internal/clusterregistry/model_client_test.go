package clusterregistry_test

// script collects the steps of a process.
type script struct {
	rules rules
	steps []step
}

func (s *script) do(name string, do func(w *world, l *local) int) {
	s.steps = append(s.steps, step{name: name, do: do})
}

// doUnless adds a step that is idle if the condition holds.
func (s *script) doUnless(idle func(w world, l local) bool, name string, do func(w *world, l *local) int) {
	s.steps = append(s.steps, step{name: name, do: do, idle: idle})
}

// look continues at the step otherwise if the object is not present. A pusher that learned that the layer is present
// ends as misled if it fails because the layer is missing.
func (s *script) look(x object, otherwise int) {
	s.do("looks at the "+x.String(), func(w *world, l *local) int {
		switch {
		case s.rules.look(w, x):
			return next
		case otherwise == failed && *l&answered != 0 && (x == linkL || x == blobL):
			return misled
		}
		return otherwise
	})
}

func (s *script) looks(xs []object, otherwise int) {
	for _, x := range xs {
		s.look(x, otherwise)
	}
}

// write makes the object present and young, whether or not it exists: a new file is renamed to the real path.
func (s *script) write(x object) {
	s.do("publishes the "+x.String(), func(w *world, _ *local) int {
		s.rules.renew(w, x)
		return next
	})
}

// writeIfAbsent does not change a live object or its age, as distribution does with content.
func (s *script) writeIfAbsent(x object) {
	s.do("writes the "+x.String(), func(w *world, _ *local) int {
		if !w.is(x, live) {
			s.rules.renew(w, x)
		}
		return next
	})
}

// layer is how a push handles the layer before it puts the manifest.
type layer int

const (
	// given: the client does not ask, because it asked long ago.
	given layer = iota
	// asked: the client sends HEAD of the blob, and uploads the blob if the answer is absent.
	asked
	// uploaded: the client uploads without asking.
	uploaded
)

// push pushes an image or an index, by tag or by digest.
type push struct {
	what   manifest
	tagged bool
	layer  layer
}

// Flags that a pusher remembers.
const (
	afterUntag local = 1 << iota // it published the tag after its user had deleted the tag
	afterAge                     // it published the revision link after the grace period had ended
	answered                     // HEAD of the layer has answered 200
)

func (p push) process(r rules, name string) process {
	s := &script{rules: r}
	p.layerSteps(s)
	p.verify(s)
	rev := p.what.revision()
	s.writeIfAbsent(rev + 1)
	s.do("publishes the "+rev.String(), func(w *world, l *local) int {
		r.renew(w, rev)
		if *w&aged != 0 {
			*l |= afterAge
		}
		return next
	})
	otherwise := failed
	if r.breaks(takesLinkBack) {
		// The removal comes after the answer, which is the last step of the other variants.
		otherwise = len(s.steps) + len(p.looksAfter(r, rev)) + 1
		if p.tagged {
			otherwise += 1 + len(p.looksAfterTag(r, rev))
		}
	}
	s.looks(p.looksAfter(r, rev), otherwise)
	if p.tagged {
		s.do("publishes the tag", p.publishTag)
		s.looks(p.looksAfterTag(r, rev), failed)
	}
	s.do("answers 201", func(w *world, l *local) int { return p.acknowledge(r, w, *l) })
	if otherwise != failed {
		s.do("deletes its revision link", func(w *world, _ *local) int { w.erase(rev, live); return next })
		s.do("answers 4xx", func(*world, *local) int { return failed })
	}
	return process{name: name, steps: s.steps}
}

// layerSteps make the layer and its link present: the client asks, or uploads, or both.
func (p push) layerSteps(s *script) {
	r := s.rules
	if p.layer == given {
		return
	}
	if !r.links {
		s.do("uploads the layer", func(w *world, _ *local) int {
			if !r.look(w, blobL) {
				r.renew(w, blobL)
			}
			return next
		})
		return
	}
	if p.layer == asked {
		upload, manifests := len(s.steps)+4, len(s.steps)+7
		s.look(linkL, upload)
		s.do("HEAD touches the layer link", func(w *world, _ *local) int {
			switch {
			case r.breaks(noLease):
				return next
			case w.is(linkL, live):
				r.touch(w, linkL)
				return next
			case r.look(w, linkL):
				return next
			}
			return upload
		})
		s.look(blobL, upload)
		s.do("HEAD answers 200", func(_ *world, l *local) int { *l |= answered; return manifests })
	}
	s.do("writes the layer", func(w *world, _ *local) int {
		if !r.look(w, blobL) {
			r.renew(w, blobL)
		}
		return next
	})
	s.write(linkL)
	s.look(blobL, failed)
}

// verify is distribution's own check before it writes a manifest.
func (p push) verify(s *script) {
	switch {
	case p.what == index:
		s.looks([]object{revM, blobM}, failed)
	case s.rules.links:
		s.looks([]object{linkL, blobL}, failed)
	default:
		s.look(blobL, failed)
	}
}

// looksAfter returns what W2 checks: everything below the revision, without the revision itself.
func (p push) looksAfter(r rules, rev object) []object {
	switch {
	case r.breaks(noLookAfterPublication):
		return nil
	case r.breaks(shallowLook) && p.what == index:
		return []object{blobI, revM}
	case r.breaks(noLookAtLayerLinks):
		r.links = false
	}
	return r.below(rev)[1:]
}

func (p push) looksAfterTag(r rules, rev object) []object {
	if r.breaks(noLookAfterTag) {
		return []object{rev}
	}
	if looks := p.looksAfter(r, rev); looks != nil {
		return append([]object{rev}, looks...)
	}
	return nil
}

func (p push) publishTag(w *world, l *local) int {
	if w.tag() != p.what {
		*w &^= tagAcknowledged
	}
	w.setTag(p.what)
	*l &^= afterUntag
	if *w&untagged != 0 {
		*l |= afterUntag
	}
	return next
}

// acknowledge records what the registry must keep from now on: a tagged push while its tag exists, and a push by digest
// while the revision link that it published is young, or always if untagged revisions are kept.
func (p push) acknowledge(r rules, w *world, l local) int {
	tagStands := w.tag() == p.what && (l&afterUntag != 0) == (*w&untagged != 0)
	isYoung := r.grace && (l&afterAge != 0) == (*w&aged != 0)
	switch {
	case p.tagged && tagStands:
		*w |= tagAcknowledged
	case !p.tagged && p.what == image && (isYoung || r.keepUntagged):
		*w |= revisionAcknowledged
	}
	return done
}

// pull reads a manifest by digest, and everything below it.
func pull(r rules, m manifest) process {
	s := &script{rules: r}
	s.looks(r.below(m.revision()), failed)
	s.do("has read all", func(*world, *local) int { return done })
	return process{name: "reader", steps: s.steps}
}

// untag deletes the tag.
func untag() process {
	return process{name: "user", steps: []step{{name: "deletes the tag", do: func(w *world, _ *local) int {
		w.setTag(0)
		*w = *w&^tagAcknowledged | untagged
		return done
	}}}}
}

// age ends the grace period of everything that is young, at any time. After that, a push by digest need not be kept.
func age(r rules) process {
	return process{name: "time", steps: []step{{name: "ends the grace period", do: func(w *world, _ *local) int {
		for x := range objects {
			w.clear(x, young)
		}
		*w |= aged
		if !r.keepUntagged {
			*w &^= revisionAcknowledged
		}
		return done
	}}}}
}

package certificate

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"slices"
	"time"
)

const (
	// overlap is the longest delay with which a client may read a new bundle.
	overlap = time.Hour
	// maxAuthorities is far more than any rotation needs. If
	// another writer adds more to the Secret, the bundle is cut.
	maxAuthorities = 16
)

// state is the content of the Secret. Parts that are missing or invalid are nil.
type state struct {
	bundle             []*x509.Certificate // trusted by clients, the oldest first
	signer, next, leaf *tls.Certificate
	// since is the time when every carrier was first seen with the bundle; zero if that is not the case.
	since time.Time
}

// step is the step that plan has taken, in the words of the log.
type step string

const (
	stepNone      step = ""
	stepIssued    step = "Issued a certificate, because there was none of use"
	stepRenewed   step = "Renewed the certificate"
	stepAnnounced step = "Made the next certificate authority"
	stepPromoted  step = "Issued a certificate by the next authority"
	stepDropped   step = "Removed authorities that are no longer used"
)

// observe compares the bundle with the bundles in the carriers. If another writer has changed
// either, the authorities in the carriers join the bundle, because replicas may still serve a
// leaf of them. They do not join if the bundle has just dropped an authority on purpose.
func (s state) observe(carried [][]byte, now time.Time) state {
	want, injected := encodeBundle(s.bundle), true
	var theirs []*x509.Certificate
	for _, c := range carried {
		if !bytes.Equal(c, want) {
			injected = false
			theirs = append(theirs, parseBundle(c)...)
		}
	}
	if injected && len(s.bundle) > 0 {
		// A time in the future comes from a clock that has been set back since.
		if s.since.IsZero() || s.since.After(now.Add(margin)) {
			s.since = now
		}
		return s
	}
	missing := func(c *x509.Certificate) bool { return !slices.ContainsFunc(theirs, c.Equal) }
	dropping := s.since.IsZero() && len(s.bundle) > 0 && !slices.ContainsFunc(s.bundle, missing)
	s.since = time.Time{}
	if dropping {
		return s
	}
	for _, c := range theirs {
		if alive(c, now) {
			s.trust(c)
		}
	}
	return s
}

// plan takes at most one step towards a young leaf, signed by a young authority, in a bundle without
// unused authorities. If no step is needed, it returns the state unchanged apart from repairs.
func plan(s state, names []string, now time.Time) (state, step, error) {
	s.repair(names, now)
	var err error
	switch {
	case s.leaf == nil:
		err = s.issueAtOnce(names, now)
		return s, stepIssued, err

	case s.next == nil && (s.signer == nil || old(s.signer, now)):
		if s.next, err = newAuthority(now); err == nil {
			s.trust(s.next.Leaf)
		}
		return s, stepAnnounced, err

	case s.next != nil && s.settled(overlap, now):
		s.leaf, err = issue(s.next, names, now)
		s.signer, s.next = s.next, nil
		return s, stepPromoted, err

	// The last condition: under an authority that is about to end, the leaf would be renewed in every pass.
	case s.signer != nil && old(s.leaf, now) && leafEnd(s.signer, now).After(s.leaf.Leaf.NotAfter.Add(margin)):
		s.leaf, err = issue(s.signer, names, now)
		return s, stepRenewed, err

	case slices.ContainsFunc(s.bundle, s.unused) && s.settled(2*overlap, now) && !now.Before(s.leaf.Leaf.NotBefore.Add(backdate+overlap)):
		// Replicas that served a leaf of these authorities replaced it more than an overlap ago; see pick.
		s.bundle, s.since = slices.DeleteFunc(slices.Clone(s.bundle), s.unused), time.Time{}
		return s, stepDropped, nil
	}
	return s, stepNone, nil
}

// repair removes the parts that are unusable, and adds the authorities that can sign to the bundle.
func (s *state) repair(names []string, now time.Time) {
	if !canSign(s.signer, now) {
		s.signer = nil
	}
	if !canSign(s.next, now) || same(s.next, s.signer) {
		s.next = nil
	}
	for _, a := range []*tls.Certificate{s.signer, s.next} {
		if a != nil {
			s.trust(a.Leaf)
		}
	}
	if !good(s.leaf, s.bundle, names, now) {
		s.leaf = nil
	}
}

// issueAtOnce makes a leaf if there is none, by an authority that is already trusted if there is one.
func (s *state) issueAtOnce(names []string, now time.Time) error {
	var err error
	if s.signer == nil {
		s.signer, s.next = s.next, nil
	}
	if s.signer == nil {
		if s.signer, err = newAuthority(now); err != nil {
			return err
		}
		s.trust(s.signer.Leaf)
	}
	s.leaf, err = issue(s.signer, names, now)
	return err
}

// trust adds an authority to the bundle, which then has to be injected again.
func (s *state) trust(c *x509.Certificate) {
	if slices.ContainsFunc(s.bundle, c.Equal) {
		return
	}
	s.bundle, s.since = append(slices.Clip(s.bundle), c), time.Time{}
	if len(s.bundle) <= maxAuthorities {
		return
	}
	i := max(0, slices.IndexFunc(s.bundle, s.unused))
	s.bundle = slices.Delete(slices.Clone(s.bundle), i, i+1)
}

// unused reports whether an authority of the bundle is neither
// the current nor the next one, and has not signed the leaf.
func (s *state) unused(c *x509.Certificate) bool {
	for _, a := range []*tls.Certificate{s.signer, s.next} {
		if a != nil && a.Leaf.Equal(c) {
			return false
		}
	}
	return !signedBy(s.leaf, c)
}

// settled reports whether the bundle has been injected for at least d.
func (s *state) settled(d time.Duration, now time.Time) bool {
	return !s.since.IsZero() && !now.Before(s.since.Add(d))
}

// pick returns the leaf that a replica serves after it has served held. A leaf of another
// authority must wait until the bundle has been injected for an overlap, while held is good.
func (s *state) pick(held *tls.Certificate, names []string, now time.Time) *tls.Certificate {
	switch {
	case same(held, s.leaf):
		return held
	case !good(held, s.bundle, names, now), s.settled(overlap, now):
		return s.leaf
	case slices.ContainsFunc(s.bundle, func(c *x509.Certificate) bool { return signedBy(held, c) && signedBy(s.leaf, c) }):
		return s.leaf
	}
	return held
}

package aosm

import (
	"errors"
	"fmt"
)

// The bounds of what a template's expressions make.
const (
	maxSteps = 8_000_000 // terms evaluated, values looked at and 64 bytes of text read, in one import
	maxMade  = 64 << 20  // bytes of text and of items made in one import
	maxChain = 200       // parameters and variables that refer to others in turn
	maxLoop  = 800       // turns of one loop, which is ARM's own bound
)

// evaluation evaluates an expression, without its brackets, in the place of a node.
type evaluation func(s *scope, expression string, at *node) (value, error)

// session is what one import has used of its bounds, and what became of its expressions.
type session struct {
	steps, made, chain int
	evaluate           evaluation
	// became has, by the node of an expression, the arrays and objects that it turned out to be.
	became map[*node][]*node
	// resolved has the arrays and objects that expressions turned out to be, so that each is made once.
	resolved map[value]value
	// unknowns are the characters that stand for results of functions that only a deployment can call.
	unknowns unknowns
	// fatal is the first thing that makes the input unusable.
	fatal error
}

// newSession is the session of one import, whose expressions evaluate evaluates.
func newSession(evaluate evaluation) *session {
	return &session{evaluate: evaluate, became: map[*node][]*node{}, resolved: map[value]value{}, unknowns: unknowns{}}
}

// spend counts steps, and bytes that are made. It fails, with ErrInput, beyond a bound.
func (s *session) spend(steps, made int) error {
	s.steps += steps
	s.made += made
	if s.steps > maxSteps || s.made > maxMade {
		return fmt.Errorf("%w: its expressions expand beyond %d steps or %d bytes", ErrInput, maxSteps, maxMade)
	}
	return nil
}

// fail keeps the first error that makes the input unusable, and reports whether err is one.
func (s *session) fail(err error) bool {
	if !errors.Is(err, ErrInput) {
		return false
	}
	if s.fatal == nil {
		s.fatal = err
	}
	return true
}

// deeper counts one level of values that refer to others. The caller calls the function that it returns
// when it is done.
func (s *session) deeper() (func(), error) {
	if s.chain++; s.chain > maxChain {
		s.chain--
		return func() {}, fmt.Errorf("it refers to more than %d others in turn", maxChain)
	}
	return func() { s.chain-- }, nil
}

// madeOf are the arrays and objects that an expression turned out to be.
func (s *session) madeOf(n *node) []*node { return s.became[n] }

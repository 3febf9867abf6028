package template

import (
	"errors"
	"fmt"

	"github.com/nfo-operator/nfo/internal/aosm/arm"
	"github.com/nfo-operator/nfo/internal/aosm/document"
)

// The bounds of what a template's expressions make.
const (
	maxSteps = 8_000_000 // terms evaluated, values looked at and 64 bytes of text read, in one import
	maxMade  = 64 << 20  // bytes of text and of items made in one import
	maxChain = 200       // parameters and variables that refer to others in turn
	maxLoop  = 800       // turns of one loop, which is ARM's own bound
)

// Evaluation evaluates an expression, without its brackets, in the place of a node.
type Evaluation func(s *Scope, expression string, at *document.Node) (Value, error)

// Session is what one import has used of its bounds, and what became of its expressions.
type Session struct {
	steps, made, chain int
	evaluate           Evaluation
	// became has, by the node of an expression, the arrays and objects that it turned out to be.
	became map[*document.Node][]*document.Node
	// resolved has the arrays and objects that expressions turned out to be, so that each is made once.
	resolved map[Value]Value
	// Unknowns are the characters that stand for results of functions that only a deployment can call.
	Unknowns arm.Unknowns
	// Fatal is the first thing that makes the input unusable.
	Fatal error
}

// NewSession is the session of one import, whose expressions evaluate evaluates.
func NewSession(evaluate Evaluation) *Session {
	return &Session{evaluate: evaluate, became: map[*document.Node][]*document.Node{}, resolved: map[Value]Value{}, Unknowns: arm.Unknowns{}}
}

// Spend counts steps, and bytes that are made. It fails, with ErrInput, beyond a bound.
func (s *Session) Spend(steps, made int) error {
	s.steps += steps
	s.made += made
	if s.steps > maxSteps || s.made > maxMade {
		return fmt.Errorf("%w: its expressions expand beyond %d steps or %d bytes", document.ErrInput, maxSteps, maxMade)
	}
	return nil
}

// Fail keeps the first error that makes the input unusable, and reports whether err is one.
func (s *Session) Fail(err error) bool {
	if !errors.Is(err, document.ErrInput) {
		return false
	}
	if s.Fatal == nil {
		s.Fatal = err
	}
	return true
}

// Deeper counts one level of values that refer to others. The caller calls the function that it returns
// when it is done.
func (s *Session) Deeper() (func(), error) {
	if s.chain++; s.chain > maxChain {
		s.chain--
		return func() {}, fmt.Errorf("it refers to more than %d others in turn", maxChain)
	}
	return func() { s.chain-- }, nil
}

// MadeOf are the arrays and objects that an expression turned out to be.
func (s *Session) MadeOf(n *document.Node) []*document.Node { return s.became[n] }

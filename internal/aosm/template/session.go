package template

import (
	"errors"
	"fmt"

	"github.com/nfo-operator/nfo/internal/aosm/arm"
	"github.com/nfo-operator/nfo/internal/aosm/document"
)

// The bounds on what the expressions of an import make.
const (
	maxSteps = 8_000_000 // terms evaluated, values read and each 64 bytes of text read, in one import
	maxMade  = 64 << 20  // bytes of text and of items made in one import
	maxChain = 200       // depth of parameters and variables that refer to others
	maxLoop  = 800       // iterations of one loop, which is ARM's own bound
)

// Evaluation evaluates an expression, without its brackets, at the position of a node.
type Evaluation func(s *Scope, expression string, at *document.Node) (Value, error)

// Session counts what one import has used of its bounds, and keeps the results of its expressions.
type Session struct {
	steps, made, chain int
	evaluate           Evaluation
	// became has, by the node of an expression, the arrays and objects that resulted from it.
	became map[*document.Node][]*document.Node
	// resolved has the arrays and objects that resulted from expressions, so that each is made once.
	resolved map[Value]Value
	// Unknowns are the characters for results of functions that only a deployment can evaluate.
	Unknowns arm.Unknowns
	// Fatal is the first error that makes the input unusable.
	Fatal error
}

// NewSession returns the session of one import, which evaluates expressions with evaluate.
func NewSession(evaluate Evaluation) *Session {
	return &Session{evaluate: evaluate, became: map[*document.Node][]*document.Node{}, resolved: map[Value]Value{}, Unknowns: arm.Unknowns{}}
}

// Spend counts steps, and bytes that are made. It fails with ErrInput beyond a bound.
func (s *Session) Spend(steps, made int) error {
	s.steps += steps
	s.made += made
	if s.steps > maxSteps || s.made > maxMade {
		return fmt.Errorf("%w: its expressions expand beyond %d steps or %d bytes", document.ErrInput, maxSteps, maxMade)
	}
	return nil
}

// Fail reports whether an error makes the input unusable, and keeps the first one.
func (s *Session) Fail(err error) bool {
	if !errors.Is(err, document.ErrInput) {
		return false
	}
	if s.Fatal == nil {
		s.Fatal = err
	}
	return true
}

// Deeper counts one level of values that refer to others. The caller calls the returned function at the end of the level.
func (s *Session) Deeper() (func(), error) {
	if s.chain++; s.chain > maxChain {
		s.chain--
		return func() {}, fmt.Errorf("it refers to more than %d others in turn", maxChain)
	}
	return func() { s.chain-- }, nil
}

// MadeOf returns the arrays and objects that resulted from an expression.
func (s *Session) MadeOf(n *document.Node) []*document.Node { return s.became[n] }

// Package expression evaluates the expressions of ARM's template language.
//
// Contract: [Evaluate] is the evaluation that a template.Session is given. Arguments are evaluated
// before their function is called; a form evaluates its arguments itself, because it does not need
// all of them, or needs one many times. Expressions are bounded in length and depth.
package expression

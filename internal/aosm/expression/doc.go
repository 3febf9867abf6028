// Package expression evaluates the expressions of ARM's template language.
//
// Contract: [Evaluate] is what a template.Session is given. Arguments are evaluated before their function is called, but
// those of forms, which evaluate not all of them, or one of them many times. Expressions are bounded in length and depth.
package expression

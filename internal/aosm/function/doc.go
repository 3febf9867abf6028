// Package function has the functions of ARM's template language whose result follows from their arguments.
//
// Contract: [All] has each function by its folded name, with the number of arguments that it takes. The result
// of a function is counted against the bounds of its session before it is made. A text that only a deployment
// knows is a special character (package arm); functions with other results of that kind are in [AtDeployment].
package function

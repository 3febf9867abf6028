// Package function has the functions of ARM's template language whose result follows from their arguments.
//
// Contract: [All] has each function by its folded name, with how many arguments it takes. What a function makes is counted
// against the bounds of its session before it is made. A function whose result only a deployment knows has it as a character
// of its own (package arm), or is among [AtDeployment].
package function

// Package hostile runs the manager and the purge as processes with the memory limits of their containers. Some tenants
// have registries and objects that are made to use up what other tenants need. `make hostile` runs the tests longer.
package hostile

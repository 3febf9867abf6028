// Package hostile runs the manager and the purge as processes with the memory that containers have, beside tenants
// whose registries and objects are made to cost them what others need. `make hostile` is the long form.
package hostile

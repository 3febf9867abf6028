// Package plugintest has objects, clusters and runs for tests of commands.
package plugintest

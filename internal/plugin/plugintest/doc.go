// Package plugintest has objects, clusters and runs of commands for tests.
package plugintest

// Package plugintest has objects for tests of commands.
package plugintest

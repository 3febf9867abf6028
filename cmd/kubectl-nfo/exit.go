package main

import (
	"fmt"
	"strings"

	"github.com/nfo-operator/nfo/internal/plugin"
)

// importExits are the exit codes of an import, in the words of the help and the documentation.
var importExits = []struct {
	code  int
	means string
}{
	{0, "Everything in the files that matters here is in the objects."},
	{plugin.ExitFailed, "Something failed: a file cannot be used, or the cluster did not take an object."},
	{plugin.ExitUsage, "The command line is wrong. Nothing was read or changed."},
	{plugin.ExitNotMapped, "Everything else is in the objects, but something is not: standard error lists it under \"Not mapped\"."},
}

func exitHelp() string {
	var b strings.Builder
	for _, e := range importExits {
		fmt.Fprintf(&b, "\n  %d  %s", e.code, e.means)
	}
	return b.String()
}

package main

import (
	"testing"

	"github.com/nfo-operator/nfo/test/reference"
)

func TestReferencePagesAreThoseOfTheCommands(t *testing.T) {
	reference.Pages(t, newRootCommand(), "../../docs/reference/cli")
}

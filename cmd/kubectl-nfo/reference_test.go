package main

import (
	"testing"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/nfo-operator/nfo/test/reference"
)

func TestReferencePagesAreThoseOfTheCommands(t *testing.T) {
	reference.Pages(t, newRootCommand(genericiooptions.NewTestIOStreamsDiscard()), "../../docs/reference/cli")
}

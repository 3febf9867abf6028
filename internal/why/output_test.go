package why

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"syscall"
	"testing"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/nfo-operator/nfo/internal/plugin/plugintest"

	"github.com/nfo-operator/nfo/internal/plugin"
	"github.com/nfo-operator/nfo/internal/terminal"
)

func TestAnswersCanBeShown(t *testing.T) {
	t.Parallel()
	a := &answer{
		Subject: "artifactmanifests/p/m", Verdict: plugintest.HostileText + "\nKept by nothing", Incomplete: []string{plugintest.HostileText},
		KeptBy:   []*link{{Object: "o", Because: plugintest.HostileText + "\n└── fake"}},
		Released: []release{{Tag: plugintest.HostileText, Says: plugintest.HostileText + "\n"}},
	}
	var out bytes.Buffer
	if err := a.write(&out); err != nil || strings.ContainsAny(out.String(), plugintest.Controls) || strings.Contains(out.String(), "\n└── fake") || strings.Contains(out.String(), "\nKept by nothing") {
		t.Errorf("%v, %q, want what others wrote in the lines it is in, and without what plugintest.Controls a terminal", err, out.String())
	}
	out.Reset()
	if err := plugin.WriteJSON(terminal.Text(&out), a); err != nil || strings.ContainsAny(out.String(), plugintest.Controls) {
		t.Errorf("%v, %q, want a document without what plugintest.Controls a terminal", err, out.String())
	}
	var got answer
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || got.Verdict != a.Verdict {
		t.Errorf("%v: %q, want the verdict as it is: %q", err, got.Verdict, a.Verdict)
	}
}

// An answer that cannot be written is a failure, not wrong usage.
func TestAnswersCannotBeWritten(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"tree", "json"} {
		f := &whyFlags{output: format, streams: genericiooptions.IOStreams{Out: plugintest.Full{}}}
		err := f.print(&answer{Subject: "artifactmanifests/p/m"})
		var coded *plugin.Error
		if !errors.As(err, &coded) || coded.Code != plugin.ExitFailed || !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%s: %v, want a failure", format, err)
		}
	}
}

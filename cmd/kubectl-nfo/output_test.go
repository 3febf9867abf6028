package main

import (
	"errors"
	"strings"
	"syscall"
	"testing"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/nfo-operator/nfo/internal/plugin"
	"github.com/nfo-operator/nfo/internal/plugin/plugintest"
)

// An answer that cannot be written is a failure, not wrong usage.
func TestChartsCannotBeWritten(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"table", "json"} {
		f := &chartsFlags{output: format, streams: genericiooptions.IOStreams{Out: plugintest.Full{}}}
		err := f.print(chartReport{})
		var coded *plugin.Error
		if !errors.As(err, &coded) || coded.Code != plugin.ExitFailed || !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%s: %v, want a failure", format, err)
		}
	}
}

func TestFindingsCanBeShown(t *testing.T) {
	t.Parallel()
	in := strings.Replace(template, `"location": "eastus"`, `"location": "eastus", "`+plugintest.HostileJSON+`\nNot mapped:": 1`, 1)
	_, out, errOut := execute(t, in, "import", "-f", "-", "--parameters", "name=UPF-1", "--registry", "MAIN=https://registry.example.com", "-o", "name")
	if strings.ContainsAny(out+errOut, plugintest.Controls) || !strings.Contains(errOut, "[2J") || strings.Contains(errOut, "\nNot mapped:") {
		t.Errorf("it says %q and %q, want the name of the member without what plugintest.Controls a terminal, on one line", out, errOut)
	}
}

func TestErrorsCanBeShown(t *testing.T) {
	t.Parallel()
	code, out, errOut := execute(t, "", "publish", "am/m", "./"+plugintest.HostileText+".tgz")
	if code == 0 || strings.ContainsAny(out+errOut, plugintest.Controls) || !strings.Contains(errOut, "the file ./a?[2J") {
		t.Errorf("exit code %d; it says %q and %q, want an error without what plugintest.Controls a terminal", code, out, errOut)
	}
}

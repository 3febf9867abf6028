package environment

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/nfo-operator/nfo/internal/chart"

	"github.com/nfo-operator/nfo/test/program"
)

// buildChartReader builds a separate program that reads charts if the test binary has the race
// detector. The race detector alone needs more memory than the reading of a chart may use.
func (e *Environment) buildChartReader() error {
	if !program.Racing {
		return nil
	}
	e.chartCommand = []string{filepath.Join(e.dir, "nfo"), "chart"}
	return program.Build(e.dir, false, "nfo")
}

// charts returns a reader that reads charts as the product does.
func (e *Environment) charts(t testing.TB) *chart.Reader {
	t.Helper()
	r, err := chart.NewReader(chart.Limits{}, 1, e.chartCommand...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// To read a chart, a manager starts its own executable with the argument chart. In a test
// that executable is the test binary, which must then behave as `nfo chart` and run no test.
func init() {
	if len(os.Args) < 2 || os.Args[1] != "chart" {
		return
	}
	var limits chart.Limits
	flags := flag.NewFlagSet("chart", flag.ExitOnError)
	flags.DurationVar(&limits.CPU, "cpu", 0, "")
	flags.Int64Var(&limits.Memory, "memory", 0, "")
	if err := flags.Parse(os.Args[2:]); err != nil {
		os.Exit(chart.ChildFailed)
	}
	if err := chart.Serve(limits, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(chart.ChildFailed)
	}
	os.Exit(0)
}

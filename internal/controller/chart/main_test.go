package chart

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/nfo-operator/nfo/internal/chart"
	"github.com/nfo-operator/nfo/test/program"
)

// chartCommand starts the program that reads charts in tests; if it is empty, that is the test binary.
var chartCommand []string

// TestMain makes the test binary the program that a Reader starts. Tests with the
// race detector, which needs more memory than a chart may use, start nfo itself.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "chart" {
		os.Exit(serveCharts(os.Args[2:]))
	}
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	if program.Racing {
		dir, err := os.MkdirTemp("", "nfo-chart-")
		if err == nil {
			err = program.Build(dir, false, "nfo")
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer func() { _ = os.RemoveAll(dir) }() // it is in the folder for temporary files
		chartCommand = []string{filepath.Join(dir, "nfo"), "chart"}
	}
	return m.Run()
}

func serveCharts(args []string) int {
	var limits chart.Limits
	flags := flag.NewFlagSet("chart", flag.ExitOnError)
	flags.DurationVar(&limits.CPU, "cpu", 0, "")
	flags.Int64Var(&limits.Memory, "memory", 0, "")
	if err := flags.Parse(args); err != nil {
		return chart.ChildFailed
	}
	if err := chart.Serve(limits, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		return chart.ChildFailed
	}
	return 0
}

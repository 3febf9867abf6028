package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// maxChart is the maximum size of the rendered chart, in bytes.
const maxChart = 16 << 20

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: helm template ... | reference ROOT")
		os.Exit(2)
	}
	if err := generate(os.Args[1], os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

// generate writes the pages for the sources under root.
func generate(root string, chart io.Reader) error {
	rendered, err := io.ReadAll(io.LimitReader(chart, maxChart+1))
	if err != nil {
		return fmt.Errorf("reading the rendered chart: %w", err)
	}
	if len(rendered) > maxChart {
		return errors.New("the rendered chart is larger than 16 MiB")
	}
	pages := filepath.Join(root, "docs", "reference")
	if err := writeKinds(filepath.Join(root, "api"), filepath.Join(pages, "kinds")); err != nil {
		return err
	}
	metrics, err := findMetrics(root)
	if err != nil {
		return err
	}
	alerts, err := findAlerts(rendered)
	if err != nil {
		return err
	}
	if len(metrics) == 0 || len(alerts) == 0 {
		return fmt.Errorf("%d metrics and %d alerts were found: pipe the chart in, rendered with metrics.prometheusRule.enabled=true", len(metrics), len(alerts))
	}
	if err := os.WriteFile(filepath.Join(pages, "metrics.md"), metricsPage(metrics, alerts), 0o644); err != nil {
		return fmt.Errorf("writing the page of metrics: %w", err)
	}
	return nil
}

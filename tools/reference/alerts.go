package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// alert is one rule of a PrometheusRule.
type alert struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

// findAlerts returns the alerts of a rendered chart, in their order.
func findAlerts(rendered []byte) ([]alert, error) {
	var all []alert
	for documents := yaml.NewDecoder(bytes.NewReader(rendered)); ; {
		var document struct {
			Spec struct {
				Groups []struct {
					Rules []alert `yaml:"rules"`
				} `yaml:"groups"`
			} `yaml:"spec"`
		}
		var node yaml.Node
		switch err := documents.Decode(&node); {
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return nil, fmt.Errorf("reading the rendered chart: %w", err)
		case kind(node) != "PrometheusRule":
			continue
		}
		if err := node.Decode(&document); err != nil {
			return nil, fmt.Errorf("reading the alerts: %w", err)
		}
		for _, group := range document.Spec.Groups {
			all = append(all, group.Rules...)
		}
	}
}

// kind returns the kind of the object in a YAML document.
func kind(document yaml.Node) string {
	var object struct {
		Kind string `yaml:"kind"`
	}
	if document.Decode(&object) != nil {
		return ""
	}
	return object.Kind
}

// metricsPage returns the page of metrics and alerts.
func metricsPage(metrics []metric, alerts []alert) []byte {
	var out bytes.Buffer
	out.WriteString("# Metrics and alerts\n\n<!-- Written by make generate from the Go sources and the chart. -->\n\n" +
		"[Monitoring](../tasks/monitoring.md) says how to scrape them. The manager shows those of controller-runtime and of Go, too.\n")
	command := ""
	for _, m := range metrics {
		if m.command != command {
			command = m.command
			fmt.Fprintf(&out, "\n## Metrics of `%s`\n\n| name | kind | labels | meaning |\n|---|---|---|---|\n", command)
		}
		names := make([]string, len(m.labels))
		for i, label := range m.labels {
			names[i] = "`" + label + "`"
		}
		fmt.Fprintf(&out, "| `%s` | %s | %s | %s |\n", m.name, m.kind, strings.Join(names, ", "), cell(m.help))
	}
	out.WriteString("\n## Alerts\n\nWith `metrics.prometheusRule.enabled` in the chart's values. Those of the registry come with `registry.enabled`. " +
		"The release is called `nfo` here, in the namespace `nfo-system`.\n")
	for _, a := range alerts {
		fmt.Fprintf(&out, "\n### %s\n\nSeverity %s", a.Alert, a.Labels["severity"])
		if a.For != "" {
			fmt.Fprintf(&out, ", after %s", a.For)
		}
		fmt.Fprintf(&out, ".\n\n```promql\n%s\n```\n\n%s\n", strings.TrimSpace(a.Expr), strings.TrimSpace(a.Annotations["summary"]))
	}
	return out.Bytes()
}

// cell returns a text escaped for a cell of a table.
func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ").Replace(s)
}

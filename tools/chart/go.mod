// Writes the schema and the table of the chart's values. A module of its own, so that the
// operator's go.mod carries none of it.
module github.com/nfo-operator/nfo/tools/chart

go 1.26.0

require (
	github.com/google/go-cmp v0.7.0
	go.yaml.in/yaml/v3 v3.0.5
)

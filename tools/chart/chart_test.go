package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestGenerate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "values.yaml", `# About the file.

# -- Where.
image: ""
probe:
  # -- How often,
  # a | b.
  # @schema minimum: 1
  seconds: 30
  # -- Whom to ask.
  # @schema items: {type: string}
  hosts: []
# -- On what.
# @schema additionalProperties: {type: string}
nodes: {os: linux}
# -- How many.
# @schema type: [integer, "null"]
count: null
`)
	write(t, dir, "README.md", "Before.\n"+tableBegins+"old\n"+tableEnds+"After.\n")
	if err := generate(dir, filepath.Join(dir, "page.md")); err != nil {
		t.Fatal(err)
	}
	wantReadme := "Before.\n" + tableBegins + "| value | default | what it is |\n|---|---|---|\n" +
		"| `image` | `\"\"` | Where. |\n" +
		"| `probe.seconds` | `30` | How often, a \\| b. |\n" +
		"| `probe.hosts` | `[]` | Whom to ask. |\n" +
		"| `nodes` | `{\"os\":\"linux\"}` | On what. |\n" +
		"| `count` | `null` | How many. |\n" + tableEnds + "After.\n"
	if diff := cmp.Diff(wantReadme, read(t, dir, "README.md")); diff != "" {
		t.Errorf("README.md (-want +got):\n%s", diff)
	}
	wantPage := "# Values of the chart\n\n<!-- Written by make generate from charts/nfo/values.yaml. -->\n\n" + tableHead +
		"| `image` | `\"\"` | Where. |\n| `nodes` | `{\"os\":\"linux\"}` | On what. |\n| `count` | `null` | How many. |\n\n## probe\n\n" + tableHead +
		"| `probe.seconds` | `30` | How often, a \\| b. |\n| `probe.hosts` | `[]` | Whom to ask. |\n"
	if diff := cmp.Diff(wantPage, read(t, dir, "page.md")); diff != "" {
		t.Errorf("page.md (-want +got):\n%s", diff)
	}
	wantSchema := `{
  "$schema": "http://json-schema.org/draft-07/schema#",
  "additionalProperties": false,
  "properties": {
    "count": {
      "default": null,
      "description": "How many.",
      "type": [
        "integer",
        "null"
      ]
    },
    "global": {
      "description": "What a chart that this one is part of gives to all of its charts. It is not used here.",
      "type": "object"
    },
    "image": {
      "default": "",
      "description": "Where.",
      "type": "string"
    },
    "nodes": {
      "additionalProperties": {
        "type": "string"
      },
      "default": {
        "os": "linux"
      },
      "description": "On what.",
      "type": "object"
    },
    "probe": {
      "additionalProperties": false,
      "properties": {
        "hosts": {
          "default": [],
          "description": "Whom to ask.",
          "items": {
            "type": "string"
          },
          "type": "array"
        },
        "seconds": {
          "default": 30,
          "description": "How often, a | b.",
          "minimum": 1,
          "type": "integer"
        }
      },
      "type": "object"
    }
  },
  "type": "object"
}
`
	if diff := cmp.Diff(wantSchema, read(t, dir, "values.schema.json")); diff != "" {
		t.Errorf("values.schema.json (-want +got):\n%s", diff)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason, values, says string
	}{
		"NotDescribed": {"the table would have a hole", "a: 1\n", `a, line 1: it is not described: begin a comment above it with "# --"`},
		"InAGroup":     {"it is said where", "a:\n  # -- One.\n  b: 1\n  c: 2\n", "a, line 1: c, line 4: it is not described"},
		"EmptyMapping": {"nothing could be set in it", "# -- One.\na: {}\n", "nothing could be in it"},
		"List":         {"anything could be in it", "# -- One.\na: []\n", "of what it is a list"},
		"Null":         {"anything could be set", "# -- One.\na: null\n", "null has no type"},
		"Schema":       {"a typing error in a comment", "# -- One.\n# @schema {\na: 1\n", "reading @schema {"},
		"List of all":  {"values are a mapping", "- a\n", "it is not a mapping"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := parse([]byte(tc.values)); err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%s: the error is %v, want %q", tc.reason, err, tc.says)
			}
		})
	}
}

func TestNoPlaceForTheTable(t *testing.T) {
	t.Parallel()
	for reason, readme := range map[string]string{
		"no place":                  "Text.\n",
		"nobody knows where to end": "Text.\n" + tableBegins,
	} {
		if got, err := replaceTable([]byte(readme), nil); err == nil {
			t.Errorf("%s, and it is %q", reason, got)
		}
	}
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, dir, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Command chart writes the files that are generated from a chart's values.yaml: values.schema.json, which
// allows only values that values.yaml has, the table in README.md, and a page of the values by group.
//
// In values.yaml a comment that begins with "# --" describes the value below it, with everything in that value; a mapping
// without such a comment is a group. A line "# @schema key: ..." adds to the value's schema what the default does not show.
//
// Decision: a generator for this chart. Rejected: helm-docs. It writes only the table, and depends on all of Helm 2.
// Rejected: the tools that write a schema. They have their own form of comments, and two forms would have to agree.
package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
)

// The lines of README.md that enclose the table.
const (
	tableBegins = "<!-- values: written by make generate -->\n"
	tableEnds   = "<!-- end of values -->\n"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: chart FOLDER PAGE")
		os.Exit(2)
	}
	if err := generate(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

// generate writes both files in a chart's folder, and the page.
func generate(dir, page string) error {
	text, err := os.ReadFile(filepath.Join(dir, "values.yaml"))
	if err != nil {
		return fmt.Errorf("reading the values: %w", err)
	}
	all, err := parse(text)
	if err != nil {
		return fmt.Errorf("reading values.yaml: %w", err)
	}
	schema, err := all.schema()
	if err != nil {
		return fmt.Errorf("making the schema: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "values.schema.json"), schema, 0o644); err != nil {
		return fmt.Errorf("writing the schema: %w", err)
	}
	file := filepath.Join(dir, "README.md")
	readme, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("reading what is around the table: %w", err)
	}
	if readme, err = replaceTable(readme, all.table()); err != nil {
		return err
	}
	if err := os.WriteFile(file, readme, 0o644); err != nil {
		return fmt.Errorf("writing the table: %w", err)
	}
	if err := os.WriteFile(page, all.page(), 0o644); err != nil {
		return fmt.Errorf("writing the page: %w", err)
	}
	return nil
}

// replaceTable replaces the table between the two lines.
func replaceTable(readme, table []byte) ([]byte, error) {
	before, rest, begins := bytes.Cut(readme, []byte(tableBegins))
	_, after, ends := bytes.Cut(rest, []byte(tableEnds))
	if !begins || !ends {
		return nil, fmt.Errorf("README.md has no place for the table: it goes between the lines %q and %q", tableBegins, tableEnds)
	}
	return bytes.Join([][]byte{before, []byte(tableBegins), table, []byte(tableEnds), after}, nil), nil
}

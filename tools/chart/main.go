// Command chart writes what follows from a chart's values.yaml: values.schema.json, in which no
// value is allowed that values.yaml does not have, the table in README.md, and a page of the values
// by group.
//
// In values.yaml a comment that begins with "# --" describes the value below it, with all that is
// in it; a mapping without one is a group. A line "# @schema key: ..." adds to the value's schema
// what its default does not show.
//
// Decision: own code. Rejected: helm-docs, which writes the table alone and brings all of Helm 2;
// the tools that write a schema have comments of their own, so that two would have to agree.
package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
)

// The table stands between these lines of README.md.
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

// generate writes both files of a chart's folder, and the page.
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

// replaceTable puts a table between the two lines.
func replaceTable(readme, table []byte) ([]byte, error) {
	before, rest, begins := bytes.Cut(readme, []byte(tableBegins))
	_, after, ends := bytes.Cut(rest, []byte(tableEnds))
	if !begins || !ends {
		return nil, fmt.Errorf("README.md has no place for the table: it goes between the lines %q and %q", tableBegins, tableEnds)
	}
	return bytes.Join([][]byte{before, []byte(tableBegins), table, []byte(tableEnds), after}, nil), nil
}

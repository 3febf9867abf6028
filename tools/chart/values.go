package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"

	"go.yaml.in/yaml/v3"
)

// value is one value, or a group of values.
type value struct {
	name string
	// about is empty for a group.
	about string
	// byDefault is the default.
	byDefault any
	schemaOf  map[string]any
	// values are the values of a group, in order.
	values []value
}

// types are the types in the schema by the YAML types of defaults. Null has none.
var types = map[string]string{"!!str": "string", "!!int": "integer", "!!float": "number", "!!bool": "boolean", "!!seq": "array", "!!map": "object"}

// parse parses a values.yaml as one group.
func parse(text []byte) (value, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return value{}, err
	}
	if len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		return value{}, errors.New("it is not a mapping")
	}
	return group("", doc.Content[0])
}

func group(name string, node *yaml.Node) (value, error) {
	g := value{name: name}
	for i := 0; i < len(node.Content); i += 2 {
		key, content := node.Content[i], node.Content[i+1]
		about, extra, err := comment(key.HeadComment)
		var v value
		switch {
		case err != nil:
		case about == "" && content.Kind == yaml.MappingNode && len(content.Content) > 0:
			v, err = group(key.Value, content)
		case about == "":
			err = errors.New(`it is not described: begin a comment above it with "# --"`)
		default:
			v, err = leaf(key.Value, about, extra, content)
		}
		if err != nil {
			return value{}, fmt.Errorf("%s, line %d: %w", key.Value, key.Line, err)
		}
		g.values = append(g.values, v)
	}
	return g, nil
}

// leaf returns a single value. Its schema allows only what the default or the comment shows.
func leaf(name, about string, extra map[string]any, content *yaml.Node) (value, error) {
	v := value{name: name, about: about, schemaOf: map[string]any{"description": about}}
	if err := content.Decode(&v.byDefault); err != nil {
		return value{}, err
	}
	v.schemaOf["default"] = v.byDefault
	if is := types[content.Tag]; is != "" {
		v.schemaOf["type"] = is
	}
	if v.schemaOf["type"] == "object" {
		v.schemaOf["additionalProperties"] = false
	}
	maps.Copy(v.schemaOf, extra)
	_, properties := v.schemaOf["properties"]
	switch {
	case v.schemaOf["type"] == nil:
		return value{}, errors.New(`null has no type: add "# @schema type: ..."`)
	case v.schemaOf["type"] == "array" && v.schemaOf["items"] == nil:
		return value{}, errors.New(`nobody knows of what it is a list: add "# @schema items: ..."`)
	case v.schemaOf["additionalProperties"] == false && !properties:
		return value{}, errors.New(`nothing could be in it: add "# @schema properties: ..." or additionalProperties`)
	}
	return v, nil
}

// comment returns the description and the schema lines in a comment. Lines before
// the description, such as those about the whole file, do not belong to the value.
func comment(text string) (string, map[string]any, error) {
	var about []string
	extra := map[string]any{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "#"))
		begins, described := strings.CutPrefix(line, "-- ")
		schema, isSchema := strings.CutPrefix(line, "@schema ")
		switch {
		case described:
			about = []string{begins}
		case len(about) == 0:
		case !isSchema:
			about = append(about, line)
		default:
			if err := yaml.Unmarshal([]byte(schema), &extra); err != nil {
				return "", nil, fmt.Errorf("reading @schema %s: %w", schema, err)
			}
		}
	}
	return strings.Join(about, " "), extra, nil
}

// schema returns the content of values.schema.json.
func (v value) schema() ([]byte, error) {
	all := v.asSchema()
	all["$schema"] = "http://json-schema.org/draft-07/schema#"
	all["properties"].(map[string]any)["global"] = map[string]any{
		"description": "What a chart that this one is part of gives to all of its charts. It is not used here.", "type": "object",
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(all)
	return out.Bytes(), err
}

func (v value) asSchema() map[string]any {
	if v.about != "" {
		return v.schemaOf
	}
	properties := map[string]any{}
	for _, one := range v.values {
		properties[one.name] = one.asSchema()
	}
	return map[string]any{"type": "object", "additionalProperties": false, "properties": properties}
}

const tableHead = "| value | default | what it is |\n|---|---|---|\n"

// table returns the table of README.md.
func (v value) table() []byte {
	var out bytes.Buffer
	out.WriteString(tableHead)
	v.rows("", &out)
	return out.Bytes()
}

// page returns the page: first the values outside of groups, then each group under a heading.
func (v value) page() []byte {
	var out bytes.Buffer
	out.WriteString("# Values of the chart\n\n<!-- Written by make generate from charts/nfo/values.yaml. -->\n\n" + tableHead)
	single, groups := value{}, []value{}
	for _, one := range v.values {
		if one.about == "" {
			groups = append(groups, one)
		} else {
			single.values = append(single.values, one)
		}
	}
	single.rows("", &out)
	for _, one := range groups {
		fmt.Fprintf(&out, "\n## %s\n\n%s", one.name, tableHead)
		one.rows(one.name+".", &out)
	}
	return out.Bytes()
}

func (v value) rows(path string, out *bytes.Buffer) {
	for _, one := range v.values {
		if one.about == "" {
			one.rows(path+one.name+".", out)
			continue
		}
		text, err := json.Marshal(one.byDefault)
		if err != nil {
			text = []byte(err.Error()) // YAML has values that JSON lacks, such as a key that is a list
		}
		fmt.Fprintf(out, "| `%s%s` | `%s` | %s |\n", path, one.name, text, strings.ReplaceAll(one.about, "|", `\|`))
	}
}

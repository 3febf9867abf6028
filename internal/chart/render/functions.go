package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"text/template"

	"github.com/BurntSushi/toml"
	"github.com/Masterminds/sprig/v3"
	"sigs.k8s.io/yaml"
	goyaml "sigs.k8s.io/yaml/goyaml.v3"
)

// templateFunctions returns the functions of Helm's engine that do not depend on the
// templates. Helm does not export them; TestRendersAsHelm compares both.
func templateFunctions() template.FuncMap {
	all := sprig.TxtFuncMap()
	delete(all, "env")
	delete(all, "expandenv")
	maps.Copy(all, template.FuncMap{
		"toToml": toTOML, "fromToml": fromTOML,
		"toYaml": toYAML, "toYamlPretty": toYAMLPretty, "fromYaml": fromYAML, "fromYamlArray": fromYAMLArray,
		"toJson": toJSON, "fromJson": fromJSON, "fromJsonArray": fromJSONArray,
		"lookup":        func(string, string, string, string) (map[string]any, error) { return map[string]any{}, nil },
		"getHostByName": func(string) string { return "" },
	})
	return all
}

// engineFunctions returns the functions that execute templates, and those that refuse values.
func (e *engine) engineFunctions(t *template.Template, depth map[string]int) template.FuncMap {
	return template.FuncMap{
		"include":  include(t, depth),
		"tpl":      e.tpl(t, depth),
		"required": e.required,
		"fail": func(says string) (string, error) {
			if e.lenient {
				return "", nil
			}
			return "", &refusal{says}
		},
	}
}

func (e *engine) required(says string, value any) (any, error) {
	if value != nil && value != "" {
		return value, nil
	}
	if e.lenient {
		return "", nil
	}
	return value, &refusal{says}
}

// include returns the function that executes a template by its name.
func include(t *template.Template, depth map[string]int) func(string, any) (string, error) {
	return func(name string, data any) (string, error) {
		if depth[name] > maxInclude {
			return "", fmt.Errorf("rendering template has a nested reference name: %s: unable to execute template", name)
		}
		depth[name]++
		var out strings.Builder
		err := t.ExecuteTemplate(&out, name, data)
		depth[name]--
		return out.String(), err
	}
}

// maxParsedTexts is the number of parsed texts that are kept, for each template that executes texts.
const maxParsedTexts = 32

// tpl returns the function that executes a text as a template that sees the others. Parsing a text needs a copy of all
// templates, which takes most of the time in charts that call tpl for each of their values. Therefore a text without
// actions is not parsed, and the first texts are parsed only once.
func (e *engine) tpl(parent *template.Template, depth map[string]int) func(string, any) (string, error) {
	parsed := map[string]*template.Template{}
	return func(text string, data any) (string, error) {
		if !strings.Contains(text, "{{") {
			return strings.ReplaceAll(text, "<no value>", ""), nil
		}
		t := parsed[text]
		if t == nil {
			var err error
			if t, err = e.parseText(parent, text, depth); err != nil {
				return "", err
			}
			if len(parsed) < maxParsedTexts {
				parsed[text] = t
			}
		}
		var out strings.Builder
		if err := t.Execute(&out, data); err != nil {
			return "", fmt.Errorf("error during tpl function execution for %q: %w", text, err)
		}
		return strings.ReplaceAll(out.String(), "<no value>", ""), nil
	}
}

func (e *engine) parseText(parent *template.Template, text string, depth map[string]int) (*template.Template, error) {
	t, err := parent.Clone()
	if err != nil {
		return nil, fmt.Errorf("cannot clone template: %w", err)
	}
	t.Option("missingkey=zero") // Clone does not copy this option
	t.Funcs(template.FuncMap{"include": include(t, depth), "tpl": e.tpl(t, depth)})
	if t, err = t.New(parent.Name()).Parse(text); err != nil {
		return nil, fmt.Errorf("cannot parse template %q: %w", text, err)
	}
	return t, nil
}

func toYAML(v any) string {
	data, err := yaml.Marshal(v)
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(string(data), "\n")
}

func toYAMLPretty(v any) string {
	var out bytes.Buffer
	encoder := goyaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if encoder.Encode(v) != nil {
		return ""
	}
	return strings.TrimSuffix(out.String(), "\n")
}

// decodeTable returns the decoded table. If the text cannot be decoded, the table has the error.
func decodeTable(text string, decode func([]byte, any) error) map[string]any {
	m := map[string]any{}
	if err := decode([]byte(text), &m); err != nil {
		m["Error"] = err.Error()
	}
	return m
}

// decodeList does the same for a list.
func decodeList(text string, decode func([]byte, any) error) []any {
	l := []any{}
	if err := decode([]byte(text), &l); err != nil {
		return []any{err.Error()}
	}
	return l
}

func decodeYAML(data []byte, to any) error { return yaml.Unmarshal(data, to) }

func fromYAML(text string) map[string]any { return decodeTable(text, decodeYAML) }
func fromYAMLArray(text string) []any     { return decodeList(text, decodeYAML) }
func fromJSON(text string) map[string]any { return decodeTable(text, json.Unmarshal) }
func fromJSONArray(text string) []any     { return decodeList(text, json.Unmarshal) }
func fromTOML(text string) map[string]any { return decodeTable(text, toml.Unmarshal) }

func toTOML(v any) string {
	var out bytes.Buffer
	if err := toml.NewEncoder(&out).Encode(v); err != nil {
		return err.Error()
	}
	return out.String()
}

func toJSON(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(data)
}

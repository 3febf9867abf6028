package render

import (
	"encoding/base64"
	"path"
	"strings"

	"github.com/gobwas/glob"
	helmchart "helm.sh/helm/v3/pkg/chart"
)

// templateFiles are the files of a chart that its templates can read as .Files, as in Helm.
type templateFiles map[string][]byte

func newTemplateFiles(from []*helmchart.File) templateFiles {
	files := templateFiles{}
	for _, f := range from {
		files[f.Name] = f.Data
	}
	return files
}

// GetBytes returns the content of a file, which is empty if the file does not exist.
func (f templateFiles) GetBytes(name string) []byte {
	if data, ok := f[name]; ok {
		return data
	}
	return []byte{}
}

// Get returns the content of a file as a string, which is empty if the file does not exist.
func (f templateFiles) Get(name string) string { return string(f.GetBytes(name)) }

// Glob returns the files whose names match a pattern, or all files if the pattern is invalid.
func (f templateFiles) Glob(pattern string) templateFiles {
	match, err := glob.Compile(pattern, '/')
	if err != nil {
		match, _ = glob.Compile("**")
	}
	found := templateFiles{}
	for name, data := range f {
		if match.Match(name) {
			found[name] = data
		}
	}
	return found
}

// AsConfig returns the files as the data of a ConfigMap, in YAML.
func (f templateFiles) AsConfig() string {
	return f.data(func(data []byte) string { return string(data) })
}

// AsSecrets returns the files as the data of a Secret, in YAML.
func (f templateFiles) AsSecrets() string { return f.data(base64.StdEncoding.EncodeToString) }

func (f templateFiles) data(encode func([]byte) string) string {
	if f == nil {
		return ""
	}
	all := map[string]string{}
	for name, data := range f {
		all[path.Base(name)] = encode(data)
	}
	return toYAML(all)
}

// Lines returns the lines of a file.
func (f templateFiles) Lines(name string) []string {
	if len(f[name]) == 0 {
		return []string{}
	}
	return strings.Split(strings.TrimSuffix(string(f[name]), "\n"), "\n")
}

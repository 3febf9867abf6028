package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/elastic/crd-ref-docs/config"
	"github.com/elastic/crd-ref-docs/processor"
	"github.com/elastic/crd-ref-docs/renderer"
	"github.com/elastic/crd-ref-docs/types"
)

// kubernetes is the version of the Kubernetes reference to which fields of Kubernetes types link.
const kubernetes = "1.32"

// blankLines matches two or more empty lines, which the branches of a template leave.
var blankLines = regexp.MustCompile(`\n{3,}`)

// writeKinds writes a page for each kind of the API in folder, and removes all earlier pages.
func writeKinds(folder, pages string) error {
	conf := &config.Config{
		Processor: config.ProcessorConfig{IgnoreTypes: []string{"List$"}, IgnoreFields: []string{"TypeMeta$"}},
		Render:    config.RenderConfig{KubernetesVersion: kubernetes},
		Flags:     config.Flags{SourcePath: folder, TemplatesDir: "templates", Renderer: "markdown", OutputMode: config.OutputModeSingle, MaxDepth: 20},
	}
	groups, err := processor.Process(conf)
	if err != nil {
		return fmt.Errorf("reading the kinds: %w", err)
	}
	if err := errors.Join(os.RemoveAll(pages), os.MkdirAll(pages, 0o755)); err != nil {
		return fmt.Errorf("making the folder of the kinds: %w", err)
	}
	written := 0
	for _, group := range groups {
		for _, kind := range group.SortedKinds() {
			conf.OutputPath = filepath.Join(pages, strings.ToLower(kind)+".md")
			if err := writeKind(conf, group, kind); err != nil {
				return fmt.Errorf("writing the page of %s: %w", kind, err)
			}
			written++
		}
	}
	if written == 0 {
		return fmt.Errorf("%s has no kinds", folder)
	}
	return nil
}

// writeKind writes the page of one kind, with the types that it uses.
func writeKind(conf *config.Config, group types.GroupVersionDetails, kind string) error {
	root := group.TypeForKind(kind)
	if root == nil {
		return errors.New("the sources have no type for it")
	}
	page := group
	page.Kinds, page.Types = []string{kind}, types.TypeMap{}
	collect(group.Types, root, page.Types)
	r, err := renderer.New(conf)
	if err != nil {
		return err
	}
	if err := r.Render([]types.GroupVersionDetails{page}); err != nil {
		return err
	}
	text, err := os.ReadFile(conf.OutputPath)
	if err != nil {
		return err
	}
	text = append(bytes.TrimSpace(blankLines.ReplaceAll(text, []byte("\n\n"))), '\n')
	return os.WriteFile(conf.OutputPath, text, 0o644)
}

// collect adds to found the types of the group that t uses, including t.
func collect(group types.TypeMap, t *types.Type, found types.TypeMap) {
	if t == nil {
		return
	}
	if own := group[t.Name]; own != nil && own.Package == t.Package {
		if found[t.Name] != nil {
			return
		}
		found[t.Name], t = own, own
	}
	for _, field := range t.Fields {
		collect(group, field.Type, found)
	}
	for _, part := range []*types.Type{t.UnderlyingType, t.KeyType, t.ValueType} {
		collect(group, part, found)
	}
}

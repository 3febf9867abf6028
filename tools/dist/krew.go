package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"
)

// krewManifest has the format of krew.googlecontainertools.github.com/v1alpha2. Krew's own module is not used:
// it requires a client-go from before Go modules, whose version number Go prefers to that of any later one.
type krewManifest struct {
	APIVersion string       `json:"apiVersion"`
	Kind       string       `json:"kind"`
	Metadata   krewMetadata `json:"metadata"`
	Spec       krewSpec     `json:"spec"`
}

type krewMetadata struct {
	Name string `json:"name"`
}

type krewSpec struct {
	Version          string         `json:"version"`
	Homepage         string         `json:"homepage"`
	ShortDescription string         `json:"shortDescription"`
	Description      string         `json:"description"`
	Platforms        []krewPlatform `json:"platforms"`
}

type krewPlatform struct {
	Selector krewSelector `json:"selector"`
	URI      string       `json:"uri"`
	SHA256   string       `json:"sha256"`
	Files    []krewFile   `json:"files"`
	Bin      string       `json:"bin"`
}

type krewSelector struct {
	MatchLabels map[string]string `json:"matchLabels"`
}

type krewFile struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// writeKrew writes the manifest from which krew installs the plugin.
func writeKrew(o options, plugins []plugin) error {
	manifest := krewManifest{
		APIVersion: "krew.googlecontainertools.github.com/v1alpha2", Kind: "Plugin", Metadata: krewMetadata{Name: "nfo"},
		Spec: krewSpec{
			Version:          "v" + strings.TrimPrefix(o.version, "v"),
			Homepage:         homepage,
			ShortDescription: "See what keeps artifacts in OCI registries",
			Description: "Says what keeps an object or an image, lists what stores have and what runs of it, publishes artifacts\n" +
				"to where an ArtifactManifest lists them, and takes over what Azure Operator Service Manager has.\n" +
				"It needs the operator nfo in the cluster.\n",
		},
	}
	for _, p := range plugins {
		sum, err := checksum(filepath.Join(o.out, p.archive))
		if err != nil {
			return err
		}
		manifest.Spec.Platforms = append(manifest.Spec.Platforms, krewPlatform{
			Selector: krewSelector{map[string]string{"os": p.os, "arch": p.arch}},
			URI:      o.downloads + "/" + p.archive, SHA256: sum,
			Files: []krewFile{{p.file(), "."}, {"LICENSE", "."}}, Bin: p.file(),
		})
	}
	text, err := yaml.Marshal(manifest)
	if err == nil {
		err = os.WriteFile(filepath.Join(o.out, "krew.yaml"), text, 0o644)
	}
	if err != nil {
		return fmt.Errorf("writing krew's manifest: %w", err)
	}
	return nil
}

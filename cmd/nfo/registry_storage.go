package main

import (
	"bytes"
	"fmt"
	"os"

	"github.com/distribution/distribution/v3/configuration"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/inmemory" // registers itself
	"sigs.k8s.io/yaml"
)

// readStorage reads the section storage in a file with distribution's configuration. As in distribution,
// environment variables that begin with REGISTRY_STORAGE_, such as REGISTRY_STORAGE_S3_SECRETKEY,
// override the file. Its errors do not quote the file, which contains secrets.
func readStorage(file string) (configuration.Storage, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading --storage-config: %w", err)
	}
	var whole struct {
		Storage map[string]map[string]any `json:"storage"`
	}
	wrong := fmt.Errorf("reading --storage-config: %s is not the section storage of distribution's configuration with one driver: https://distribution.github.io/distribution/about/configuration/#storage", file)
	if yaml.Unmarshal(content, &whole) != nil || len(whole.Storage) == 0 {
		return nil, wrong
	}
	section, err := yaml.Marshal(map[string]any{"version": "0.1", "storage": whole.Storage})
	if err != nil {
		return nil, wrong
	}
	config, err := configuration.Parse(bytes.NewReader(section))
	if err != nil {
		return nil, wrong
	}
	return config.Storage, nil
}

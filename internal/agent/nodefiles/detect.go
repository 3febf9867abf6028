package nodefiles

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

const (
	configFile = "config.toml"
	// maxConfigs bounds the files of containerd's configuration that are read.
	maxConfigs = 32
)

// Runtimes returns the folders of the runtimes that the node has, "" for one that it does not have. An empty folder
// does not count, because it was created for the agent. A node without a sign of either runtime counts as one with
// containerd, which needs no configuration file.
func Runtimes(containerd, containers string) (withContainerd, withContainers string) {
	crio := has(containers, "policy.json") || has(containers, "registries.conf") || has(containers, registriesFolder)
	if crio {
		withContainers = containers
	}
	if !crio || has(containerd, configFile) {
		withContainerd = containerd
	}
	return withContainerd, withContainers
}

func has(folder, name string) bool {
	_, err := os.Lstat(filepath.Join(folder, name))
	return folder != "" && err == nil
}

// Unread returns why containerd does not or may not read the files; "" if
// it reads them. The folder must have the same path here as on the node.
func Unread(containerd string) string {
	certs := filepath.Join(containerd, certsFolder)
	set, found, err := configPath(containerd)
	switch {
	case err != nil:
		return "it is not known whether containerd reads " + certs + ": " + err.Error()
	case !found:
		return "containerd before 2.2 does not read " + certs + ", because its configuration has no config_path: set config_path = \"" + certs + "\" under registry of its CRI plugin, and restart it"
	case !slices.Contains(filepath.SplitList(set), certs):
		return "containerd does not read " + certs + ", because its config_path is \"" + set + "\": add the folder, and restart it"
	}
	return ""
}

// configPath returns config_path of the CRI plugin in containerd's
// configuration. Of several files, the one that containerd reads last decides.
func configPath(folder string) (set string, found bool, err error) {
	names := []string{filepath.Join(folder, configFile)}
	for i := 0; i < len(names); i++ {
		if i == maxConfigs {
			return "", false, fmt.Errorf("its configuration has more than %d files", maxConfigs)
		}
		config, err := readConfig(names[i])
		if errors.Is(err, fs.ErrNotExist) && i == 0 {
			return "", false, nil
		}
		var more []string
		if err == nil {
			more, err = config.imported(names[i], folder)
		}
		if err != nil {
			return "", false, err
		}
		if here, ok := config.path(); ok {
			set, found = here, true
		}
		names = append(names, slices.DeleteFunc(more, func(name string) bool { return slices.Contains(names, name) })...)
	}
	return set, found && set != "", nil
}

// containerdConfig has the fields that are read of one file.
type containerdConfig struct {
	Imports []string       `toml:"imports"`
	Plugins map[string]any `toml:"plugins"`
}

// imported returns the files that a file of this name imports, which containerd reads after it.
func (c containerdConfig) imported(name, folder string) ([]string, error) {
	var all []string
	for _, pattern := range c.Imports {
		if !filepath.IsAbs(pattern) {
			pattern = filepath.Join(filepath.Dir(name), pattern)
		}
		if !strings.HasPrefix(filepath.Clean(pattern), folder+"/") {
			return nil, fmt.Errorf("it also reads %s, which is outside of %s", pattern, folder)
		}
		found, err := filepath.Glob(pattern)
		if err != nil {
			return nil, fmt.Errorf("reading the imports of %s: %w", name, err)
		}
		all = append(all, found...)
	}
	return all, nil
}

func readConfig(name string) (containerdConfig, error) {
	root, err := os.OpenRoot(filepath.Dir(name))
	if err != nil {
		return containerdConfig{}, err
	}
	text, err := read(root, filepath.Base(name))
	if err = errors.Join(err, root.Close()); err != nil {
		return containerdConfig{}, err
	}
	var c containerdConfig
	if err := toml.Unmarshal([]byte(text), &c); err != nil {
		return c, fmt.Errorf("reading %s: it is not TOML", name)
	}
	return c, nil
}

// path returns config_path of the plugin that pulls images, whose name has changed between versions of containerd.
func (c containerdConfig) path() (string, bool) {
	for _, plugin := range []string{"io.containerd.cri.v1.images", "io.containerd.grpc.v1.cri", "cri"} {
		if p, ok := c.Plugins[plugin].(map[string]any); ok {
			if r, ok := p["registry"].(map[string]any); ok {
				if set, ok := r["config_path"].(string); ok {
					return set, true
				}
			}
		}
	}
	return "", false
}

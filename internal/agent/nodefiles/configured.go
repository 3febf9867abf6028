package nodefiles

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// configured are the registries of hosts for which CRI-O has a configuration of somebody else, each with the file that has
// it: a second one would take its place.
func configured(folder string, hosts []string) (map[string]string, error) {
	if folder == "" || len(hosts) == 0 {
		return nil, nil
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, fmt.Errorf("opening the folder %s: %w", folder, err)
	}
	taken, err := configuredIn(root, hosts)
	if err != nil {
		err = fmt.Errorf("reading the registries of CRI-O in %s: %w", folder, err)
	}
	return taken, errors.Join(err, root.Close())
}

func configuredIn(root *os.Root, hosts []string) (map[string]string, error) {
	entries, err := list(root, registriesFolder)
	if err != nil {
		return nil, err
	}
	names := []string{"registries.conf"}
	for _, entry := range entries {
		if name := path.Join(registriesFolder, entry); strings.HasSuffix(entry, ".conf") && name != registriesFile {
			names = append(names, name)
		}
	}
	taken := map[string]string{}
	for _, name := range names {
		text, err := read(root, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		var config struct {
			Registry []struct {
				Prefix   string `toml:"prefix"`
				Location string `toml:"location"`
			} `toml:"registry"`
		}
		if toml.Unmarshal([]byte(text), &config) != nil {
			return nil, fmt.Errorf("%s is not TOML", name)
		}
		for _, r := range config.Registry {
			host := r.Prefix
			if host == "" {
				host = r.Location
			}
			if slices.Contains(hosts, host) {
				taken[host] = name
			}
		}
	}
	return taken, nil
}

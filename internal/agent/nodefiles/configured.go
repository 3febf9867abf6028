package nodefiles

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// configured returns those of the hosts for which somebody else has configured a registry in CRI-O, each with the name
// of the file. A second configuration of the same registry would replace the first.
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
		has, err := registriesOf(root, name)
		if err != nil {
			return nil, err
		}
		for _, host := range has {
			if slices.Contains(hosts, host) {
				taken[host] = name
			}
		}
	}
	return taken, nil
}

// registriesOf returns the prefixes of the registries that a file configures.
func registriesOf(root *os.Root, name string) ([]string, error) {
	text, err := read(root, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
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
	var all []string
	for _, r := range config.Registry {
		all = append(all, cmp.Or(r.Prefix, r.Location))
	}
	return all, nil
}

package nodefiles

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
)

// Header is the first line of every file that this package writes.
const Header = "# Written by nfo agent, which overwrites and removes it.\n"

// Folders in those of the runtimes.
const (
	certsFolder      = "certs.d"
	registriesFolder = "registries.conf.d"
	registriesFile   = registriesFolder + "/50-nfo-mirror.conf"
)

// maxHosts bounds the registries of which a node has files.
const maxHosts = 256

// Options are what the files say.
type Options struct {
	// Containerd and Containers are the folders of containerd's and of CRI-O's configuration. "" for a runtime that the node
	// does not have.
	Containerd, Containers string
	// Hosts are the registries, as host or host:port, that the runtime asks the agent for first.
	Hosts []string
	// PlainHTTP are those that are reached over plain HTTP.
	PlainHTTP []string
	// Agent is host:port of the agent.
	Agent string
	// Service is the registry that nfo ships, as host or host:port, which the runtime asks itself. "": it does not.
	Service string
	// Authorities, Certificate and Key are in PEM: what the runtime trusts the Service by, and what it is known by there.
	Authorities, Certificate, Key []byte
}

// Report is what has been done.
type Report struct {
	// Written and Removed count files. What was right already is in neither.
	Written, Removed int
	// Foreign are the names, in the folders of the runtimes, that are left alone because somebody else has written there.
	Foreign []string
}

// file is one that should be there.
type file struct {
	name, content string
	private       bool
}

// Apply makes the files as they should be. What one file's failure does not concern is still done.
func Apply(o Options) (Report, error) {
	if len(o.Hosts) > maxHosts {
		return Report{}, fmt.Errorf("writing files of the node: there are %d registries, and at most %d can be mirrored", len(o.Hosts), maxHosts)
	}
	var report Report
	err := report.folder(o.Containerd, containerd(o))
	taken, crioErr := configured(o.Containers, o.Hosts)
	if crioErr != nil {
		return report, errors.Join(err, crioErr)
	}
	for host, name := range taken {
		report.Foreign = append(report.Foreign, name)
		o.Hosts = slices.DeleteFunc(slices.Clone(o.Hosts), func(h string) bool { return h == host })
	}
	err = errors.Join(err, report.folder(o.Containers, crio(o)))
	slices.Sort(report.Foreign)
	return report, err
}

// Remove removes the files.
func Remove(containerd, containers string) (Report, error) {
	return Apply(Options{Containerd: containerd, Containers: containers})
}

// folder makes the files of one runtime as they should be, and removes ours that should not be there.
func (r *Report) folder(name string, want []file) error {
	if name == "" {
		return nil
	}
	root, err := os.OpenRoot(name)
	if errors.Is(err, fs.ErrNotExist) && len(want) == 0 {
		return nil
	}
	if err != nil {
		return fmt.Errorf("opening the folder %s: %w", name, err)
	}
	err = r.write(root, want)
	err = errors.Join(err, r.prune(root, want))
	if err != nil {
		err = fmt.Errorf("writing files in %s: %w", name, err)
	}
	return errors.Join(err, root.Close())
}

// write writes the files, but for those in folders where others have written.
func (r *Report) write(root *os.Root, want []file) error {
	var errs []error
	foreign := map[string]bool{}
	for _, f := range want {
		folder := path.Dir(f.name)
		if _, seen := foreign[folder]; !seen {
			others, err := others(root, f.name)
			if err != nil {
				return err
			}
			r.Foreign = append(r.Foreign, others...)
			foreign[folder] = len(others) > 0
		}
		if foreign[folder] {
			continue
		}
		wrote, err := put(root, f)
		if wrote {
			r.Written++
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// prune removes our files that are not wanted, hosts.toml before what it leads to, and the folders that are empty then.
func (r *Report) prune(root *os.Root, want []file) error {
	all, err := ours(root)
	if err != nil {
		return err
	}
	slices.SortStableFunc(all, func(a, b string) int { return rank(b) - rank(a) })
	var errs []error
	for _, name := range all {
		if slices.ContainsFunc(want, func(f file) bool { return f.name == name }) {
			continue
		}
		if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("removing %s: %w", name, err))
			continue
		}
		r.Removed++
		if folder := path.Dir(name); strings.HasPrefix(folder, certsFolder+"/") {
			_ = root.Remove(folder) // which fails where something is left in it
		}
	}
	return errors.Join(errs...)
}

// rank is higher for files that lead to others.
func rank(name string) int {
	if path.Base(name) == hostsFile {
		return 1
	}
	return 0
}

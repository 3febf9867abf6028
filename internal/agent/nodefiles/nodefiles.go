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

// Folders in the configuration folders of the runtimes.
const (
	certsFolder      = "certs.d"
	registriesFolder = "registries.conf.d"
	registriesFile   = registriesFolder + "/50-nfo-mirror.conf"
)

// maxHosts bounds the registries for which a node has files.
const maxHosts = 256

// Options describe the desired files.
type Options struct {
	// Containerd and Containers are the configuration folders of containerd
	// and of CRI-O; "" for a runtime that the node does not have.
	Containerd, Containers string
	// Hosts are the registries, as host or host:port, for which the runtime tries the agent first.
	Hosts []string
	// PlainHTTP are the registries that are reached over plain HTTP.
	PlainHTTP []string
	// Agent is the agent's host:port.
	Agent string
	// Service is the registry that nfo ships, as host or host:port,
	// if the runtime pulls from it directly; "" if it does not.
	Service string
	// Authorities, Certificate and Key are in PEM: the certificate authorities
	// of the Service, and the runtime's client certificate with its key.
	Authorities, Certificate, Key []byte
}

// Report is the result of an Apply or Remove.
type Report struct {
	// Written and Removed are numbers of files. Files that were already correct do not count.
	Written, Removed int
	// Foreign has the names, in the folders of the runtimes, of files
	// by other authors that prevented files from being written.
	Foreign []string
}

// file is a desired file.
type file struct {
	name, content string
	private       bool
}

// Apply brings the files into the desired state. After a failure
// of one file it continues with the others as far as possible.
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

// Remove removes all files that Apply has written.
func Remove(containerd, containers string) (Report, error) {
	return Apply(Options{Containerd: containerd, Containers: containers})
}

// folder brings the files of one runtime into the desired state, and removes our files that are not wanted.
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

// write writes the files, except those in folders with files by other authors.
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

// prune removes our files that are not wanted, hosts.toml before the files that it references, and then empty folders.
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
			_ = root.Remove(folder) // this fails if the folder is not empty
		}
	}
	return errors.Join(errs...)
}

// rank returns a higher value for files that reference others.
func rank(name string) int {
	if path.Base(name) == hostsFile {
		return 1
	}
	return 0
}

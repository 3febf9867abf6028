package nodefiles

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/nfo-operator/nfo/internal/rewrite"
)

// Names of files that containerd and CRI-O read.
const (
	hostsFile       = "hosts.toml"
	authorityFile   = "ca.crt"
	certificateFile = "client.cert"
	keyFile         = "client.key"
)

// dockerHub is the name of Docker Hub in references, and dockerHubAPI the host of its registry.
const dockerHub, dockerHubAPI = "docker.io", "registry-1.docker.io"

// server returns the URL of a registry.
func (o Options) server(host string) string {
	scheme := "https"
	if slices.Contains(o.PlainHTTP, host) {
		scheme = "http"
	}
	if host == dockerHub {
		host = dockerHubAPI
	}
	return scheme + "://" + host
}

// segment returns the segment for a registry in a path of the mirror.
func segment(host string) string {
	return strings.TrimSuffix(rewrite.Image{Host: host}.Path(), "/")
}

// containerd returns the files for containerd. Each hosts.toml comes after the files that it references.
func containerd(o Options) []file {
	var all []file
	for _, host := range o.Hosts {
		all = append(all, file{name: path.Join(certsFolder, host, hostsFile), content: fmt.Sprintf(`server = %q

[host.%q]
  capabilities = ["pull", "resolve"]
  override_path = true
`, o.server(host), "http://"+o.Agent+"/v2/"+segment(host))})
	}
	if o.Service == "" {
		return all
	}
	folder := path.Join(certsFolder, o.Service)
	return append(append(all, o.certificates(folder)...), file{name: path.Join(folder, hostsFile), content: fmt.Sprintf(`server = %q
capabilities = ["pull", "resolve"]
ca = %q
client = [[%q, %q]]
`, "https://"+o.Service, authorityFile, certificateFile, keyFile)})
}

// crio returns the files for CRI-O, which other programs that use containers/image read too.
func crio(o Options) []file {
	var all []file
	if len(o.Hosts) > 0 {
		var text strings.Builder
		for _, host := range o.Hosts {
			insecure := ""
			if slices.Contains(o.PlainHTTP, host) {
				insecure = "insecure = true\n"
			}
			fmt.Fprintf(&text, `
[[registry]]
prefix = %q
location = %q
%s
[[registry.mirror]]
location = %q
insecure = true
`, host, host, insecure, o.Agent+"/"+segment(host))
		}
		all = append(all, file{name: registriesFile, content: text.String()})
	}
	if o.Service != "" {
		all = append(all, o.certificates(path.Join(certsFolder, o.Service))...)
	}
	return all
}

// certificates returns the files with the certificate authorities of the registry and the client certificate of the
// runtime. The Header may precede their content, because PEM allows text before it.
func (o Options) certificates(folder string) []file {
	return []file{
		{name: path.Join(folder, authorityFile), content: string(o.Authorities)},
		{name: path.Join(folder, keyFile), content: string(o.Key), private: true},
		{name: path.Join(folder, certificateFile), content: string(o.Certificate)},
	}
}

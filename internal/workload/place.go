package workload

import (
	"strings"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// name is what something in a registry is called, in the repository of a store.
type name struct {
	// repository is the whole one in the store's registry.
	repository string
	// tag is "" where a digest is pulled.
	tag    string
	digest string
}

// places are the locations by which images of a store are named. The first one is the store's own.
type places []v1alpha1.RegistryLocation

// find reads an image reference as container runtimes do, and finds what it names in the store. One that no
// runtime can read names nothing: no pod was ever started with it.
func (p places) find(image string) (name, bool) {
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return name{}, false
	}
	at, ok := p.inside(reference.Domain(named), reference.Path(named))
	if !ok {
		return name{}, false
	}
	if d, pinned := named.(reference.Digested); pinned {
		at.digest = d.Digest().String()
		return at, true // a tag beside it is for people only
	}
	at.tag = "latest"
	if t, tagged := named.(reference.Tagged); tagged {
		at.tag = t.Tag()
	}
	return at, true
}

// inside finds the store's repository behind a host and path. The longest prefix counts.
func (p places) inside(host, path string) (name, bool) {
	best, found := -1, name{}
	for _, l := range p {
		here := v1alpha1.RegistryLocation{Host: host, Prefix: path}
		if !l.Contains(here) || path == l.Prefix || len(l.Prefix) <= best {
			continue
		}
		rest := strings.TrimPrefix(strings.TrimPrefix(path, l.Prefix), "/")
		best, found = len(l.Prefix), name{repository: strings.TrimPrefix(p[0].Prefix+"/"+rest, "/")}
	}
	return found, best >= 0
}

// pulled finds what a node says that it has pulled for an image. Nodes may call it by another name under which they
// have the same digest, so that the repository of the image counts too.
func (p places) pulled(image, id string) []name {
	id = strings.TrimPrefix(strings.TrimPrefix(id, "docker-pullable://"), "docker://")
	at, d, ok := strings.Cut(id, "@")
	if !ok || digest.Digest(d).Validate() != nil { // the digest of a configuration, of an image that was loaded by hand
		return nil
	}
	var all []name
	for _, from := range []string{at, image} {
		if n, ok := p.find(from); ok {
			n.tag, n.digest = "", d
			all = append(all, n)
		}
	}
	return all
}

package named

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

const digestA = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

func placesOf(t *testing.T, url string, aliases ...string) Places {
	t.Helper()
	here, err := v1alpha1.ParseRegistryURL(url)
	if err != nil {
		t.Fatal(err)
	}
	all, err := (&v1alpha1.WorkloadsSpec{RegistryAliases: aliases}).Locations(here)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestI14WhatAnImageNamesInAStore(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		reason  string
		url     string
		aliases []string
		image   string
		want    Name
	}{
		"tag":              {reason: "an image in the store", url: "https://r.example/acme", image: "r.example/acme/upf/nginx:1", want: Name{Repository: "acme/upf/nginx", Tag: "1"}},
		"latest":           {reason: "runtimes pull latest without a tag", url: "https://r.example/acme", image: "r.example/acme/upf/nginx", want: Name{Repository: "acme/upf/nginx", Tag: "latest"}},
		"digest":           {reason: "of tag and digest, the digest is pulled", url: "https://r.example/acme", image: "r.example/acme/upf/nginx:1@" + digestA, want: Name{Repository: "acme/upf/nginx", Digest: digestA}},
		"whole registry":   {reason: "a store without a prefix has all", url: "https://r.example", image: "r.example/upf/nginx:1", want: Name{Repository: "upf/nginx", Tag: "1"}},
		"default port":     {reason: "the default port is not part of a place", url: "https://r.example/acme", image: "r.example:443/acme/upf/nginx:1", want: Name{Repository: "acme/upf/nginx", Tag: "1"}},
		"loopback":         {reason: "every loopback address is this machine", url: "http://127.0.0.1:5000/acme", image: "localhost:5000/acme/upf/nginx:1", want: Name{Repository: "acme/upf/nginx", Tag: "1"}},
		"whole segments":   {reason: "acme2 is not acme", url: "https://r.example/acme", image: "r.example/acme2/upf/nginx:1"},
		"other host":       {reason: "another registry", url: "https://r.example/acme", image: "other.example/acme/upf/nginx:1"},
		"other port":       {reason: "another port is another registry", url: "https://r.example/acme", image: "r.example:5000/acme/upf/nginx:1"},
		"the prefix alone": {reason: "nothing of the store is in the repository of its prefix", url: "https://r.example/acme", image: "r.example/acme:1"},
		"Docker Hub":       {reason: "short names are Docker Hub's", url: "https://index.docker.io/library", image: "nginx:1", want: Name{Repository: "library/nginx", Tag: "1"}},
		"Hub organisation": {reason: "so are names without a host", url: "https://registry-1.docker.io/acme", image: "acme/nginx:1", want: Name{Repository: "acme/nginx", Tag: "1"}},
		"alias":            {reason: "what is behind an alias is behind the store's prefix", url: "https://r.example/acme", aliases: []string{"mirror.edge.example:5000/copies/acme"}, image: "mirror.edge.example:5000/copies/acme/upf/nginx:1", want: Name{Repository: "acme/upf/nginx", Tag: "1"}},
		"alias of all":     {reason: "an alias can have no prefix", url: "https://r.example", aliases: []string{"mirror.example"}, image: "mirror.example/upf/nginx:1", want: Name{Repository: "upf/nginx", Tag: "1"}},
		"longest alias":    {reason: "the longest prefix counts", url: "https://r.example/acme", aliases: []string{"m.example", "m.example/x"}, image: "m.example/x/upf/nginx:1", want: Name{Repository: "acme/upf/nginx", Tag: "1"}},
		"mirror":           {reason: "the copy in a mirror is used for what it is a copy of", url: "https://r.example/acme", image: "127.0.0.1:7439/r.example/acme/upf/nginx:1", want: Name{Repository: "acme/upf/nginx", Tag: "1"}},
		"mirror's prefix":  {reason: "a mirror may have a prefix", url: "https://r.example/acme", image: "10.96.0.50/mirror.nfo.dev/r.example/acme/upf/nginx:1@" + digestA, want: Name{Repository: "acme/upf/nginx", Digest: digestA}},
		"mirrored port":    {reason: "the colon of the host is an underscore there", url: "https://r.example:5000/acme", image: "127.0.0.1:7439/r.example_5000/acme/upf/nginx:1", want: Name{Repository: "acme/upf/nginx", Tag: "1"}},
		"mirrored Hub":     {reason: "it has one name in the mirror", url: "https://index.docker.io/library", image: "127.0.0.1:7439/docker.io/library/nginx:1", want: Name{Repository: "library/nginx", Tag: "1"}},
		"mirrored alias":   {reason: "a pod may have named the alias", url: "https://r.example/acme", aliases: []string{"m.example/copies"}, image: "127.0.0.1:7439/m.example/copies/upf/nginx:1", want: Name{Repository: "acme/upf/nginx", Tag: "1"}},
		"its own name":     {reason: "it is in the store itself, whatever else its path says", url: "https://r.example/acme", image: "r.example/acme/r.example/acme/nginx:1", want: Name{Repository: "acme/r.example/acme/nginx", Tag: "1"}},
		"mirrored other":   {reason: "the mirror has images of others", url: "https://r.example/acme", image: "127.0.0.1:7439/r.example/acme2/upf/nginx:1"},
		"mirrored prefix":  {reason: "nothing of the store is in the repository of its prefix", url: "https://r.example/acme", image: "127.0.0.1:7439/r.example/acme:1"},
		"unreadable":       {reason: "no runtime can pull it", url: "https://r.example/acme", image: "r.example/acme/UPF:1"},
		"empty":            {reason: "a pod may name no image yet", url: "https://r.example/acme", image: ""},
	}
	for title, test := range tests {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			got, ok := Names{Inside: placesOf(t, test.url, test.aliases...).Inside}.Find(test.image)
			if diff := cmp.Diff(test.want, got); diff != "" || ok != (test.want != Name{}) {
				t.Errorf("%s: found %v %s", test.reason, ok, diff)
			}
		})
	}
}

func TestI14WhatANodeHasPulled(t *testing.T) {
	t.Parallel()
	p := Names{Inside: placesOf(t, "https://r.example/acme", "mirror.example/acme").Inside}
	is := Name{Repository: "acme/upf/nginx", Digest: digestA}
	tests := map[string]struct {
		reason, image, id string
		want              []Name
	}{
		"containerd":            {reason: "repository and digest", image: "r.example/acme/upf/nginx:1", id: "r.example/acme/upf/nginx@" + digestA, want: []Name{is, is}},
		"docker":                {reason: "a scheme before it", image: "r.example/acme/upf/nginx:1", id: "docker-pullable://r.example/acme/upf/nginx@" + digestA, want: []Name{is, is}},
		"mirror":                {reason: "pulled by an alias", image: "mirror.example/acme/upf/nginx:1", id: "mirror.example/acme/upf/nginx@" + digestA, want: []Name{is, is}},
		"other name":            {reason: "a node may have the digest under another name first", image: "r.example/acme/upf/nginx:1", id: "other.example/nginx@" + digestA, want: []Name{is}},
		"loaded by hand":        {reason: "the digest of a configuration is in no registry", image: "r.example/acme/upf/nginx:1", id: digestA},
		"not pulled yet":        {reason: "no digest", image: "r.example/acme/upf/nginx:1", id: ""},
		"not a digest":          {reason: "others may write a status", image: "r.example/acme/upf/nginx:1", id: "r.example/acme/upf/nginx@sha256:x"},
		"of another store":      {reason: "neither name is of this one", image: "other.example/nginx", id: "other.example/nginx@" + digestA},
		"image is not an image": {reason: "the identity alone is enough", image: "", id: "r.example/acme/upf/nginx@" + digestA, want: []Name{is}},
	}
	for title, test := range tests {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, p.Pulled(test.image, test.id)); diff != "" {
				t.Errorf("%s: %s", test.reason, diff)
			}
		})
	}
}

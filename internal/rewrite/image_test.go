package rewrite

import (
	"errors"
	"strings"
	"testing"
)

const someDigest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func TestParse(t *testing.T) {
	for _, tt := range []struct{ reason, image, full, path string }{
		{"a name alone is from Docker Hub", "nginx", "docker.io/library/nginx:latest", "docker.io/library/nginx"},
		{"a user of Docker Hub", "acme/upf:1", "docker.io/acme/upf:1", "docker.io/acme/upf"},
		{"a host", "registry.example.com/acme/upf:1.0.0", "registry.example.com/acme/upf:1.0.0", "registry.example.com/acme/upf"},
		{"a port", "registry.example.com:5000/upf:1", "registry.example.com:5000/upf:1", "registry.example.com_5000/upf"},
		{"localhost", "localhost/upf", "localhost/upf:latest", "localhost/upf"},
		{"a digest", "r.example/upf@" + someDigest, "r.example/upf@" + someDigest, "r.example/upf"},
		{"both", "r.example/upf:1@" + someDigest, "r.example/upf:1@" + someDigest, "r.example/upf"},
		{"hosts have no case", "R.Example/upf:1", "r.example/upf:1", "r.example/upf"},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			i, err := Parse(tt.image)
			if err != nil || i.String() != tt.full || i.Path() != tt.path {
				t.Fatalf("%s at %s, %v", i, i.Path(), err)
			}
			for _, address := range []string{"127.0.0.1:7439", "10.96.0.50/mirror.nfo.dev"} {
				if back, ok := Original(i.At(address), address); !ok || back != i {
					t.Errorf("%s comes back as %s, %t", i.At(address), back, ok)
				}
			}
		})
	}
	for _, tt := range []struct{ reason, image string }{
		{"empty", ""}, {"upper case", "acme/UPF"}, {"an IPv6 address", "[::1]:5000/upf:1"}, {"too long", "r.example/" + strings.Repeat("a/", 300) + "a"},
		{"too long in the mirror", "r.example/" + strings.Repeat("a", 240)}, {"another algorithm", "upf@md5:00"}, {"spaces", "upf:1 "},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			if i, err := Parse(tt.image); !errors.Is(err, ErrImage) {
				t.Errorf("%s, %v", i, err)
			}
		})
	}
	for _, elsewhere := range []string{"nginx", "127.0.0.1:74390/docker.io/library/nginx", "127.0.0.1:7439/nginx"} {
		if i, ok := Original(elsewhere, "127.0.0.1:7439"); ok {
			t.Errorf("%s is taken for a copy of %s", elsewhere, i)
		}
	}
}

package v1alpha1

import (
	"strings"
	"testing"
)

// Every name of one registry is one name, and names of others are not.
func TestOneRegistryUnderKnownNames(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason string
		one    []string
	}{
		"Hub": {"Docker's own names", []string{
			"https://docker.io/acme", "https://index.docker.io/acme", "https://registry-1.docker.io/acme", "https://registry.hub.docker.com/acme",
			"https://Docker.IO:443/acme", "https://registry-1.docker.io./acme", "http://docker.io:443/acme", "https://docker.io:0443/acme/",
		}},
		"Name": {"case, default ports of either scheme, and the dot at the end", []string{
			"https://r.example.com/acme", "https://R.Example.com:443/acme", "http://r.example.com/acme", "http://r.example.com:443/acme",
			"https://r.example.com:80/acme", "https://r.example.com./acme", "https://r.example.com.:443/acme", "https://r.example.com:/acme",
		}},
		"Loopback": {"this machine", []string{
			"http://localhost:5000/acme", "http://127.0.0.1:5000/acme", "http://[::1]:5000/acme", "http://[0:0:0:0:0:0:0:1]:05000/acme", "http://LOCALHOST.:5000/acme",
			"http://127.0.0.2:5000/acme", "http://[::ffff:127.0.0.1]:5000/acme", "http://0.0.0.0:5000/acme", "http://[::]:5000/acme", "http://a.localhost:5000/acme",
		}},
		"IPv6": {"forms of one address", []string{
			"https://[2001:db8::1]/acme", "https://[2001:DB8:0:0::1]:443/acme", "https://[2001:0db8:0000:0000:0000:0000:0000:0001]/acme",
		}},
		"IPv4": {"forms of one address", []string{
			"https://192.0.2.1/acme", "https://[::ffff:192.0.2.1]/acme", "https://[64:ff9b::c000:201]/acme", "https://192.0.2.1./acme",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, a := range tc.one {
				for _, b := range tc.one {
					if !place(t, a).Same(place(t, b)) || !place(t, a).Overlaps(place(t, b)) {
						t.Errorf("%s: %s and %s are two places", tc.reason, a, b)
					}
				}
				for _, other := range []string{
					"https://docker.io.example.com/acme", "https://r.example.com:5000/acme", "https://s.example.com/acme", "http://localhost:5001/acme",
					"http://localhost.example.com:5000/acme", "https://[2001:db8::2]/acme", "https://192.0.2.11/acme", "https://ghcr.io/acme",
				} {
					if place(t, a).SameRegistry(place(t, other)) {
						t.Errorf("%s is taken for %s", a, other)
					}
				}
			}
		})
	}
}

func place(t *testing.T, url string) RegistryLocation {
	t.Helper()
	l, err := ParseRegistryURL(url)
	if err != nil {
		t.Fatalf("%s: %v", url, err)
	}
	return l
}

// An internationalized name has one form only, so that it cannot be a second name.
func TestAHostThatIsNotASCIIIsRefused(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"https://b\u00fccher.example/acme", "https://r\uff0eexample/acme", "https://r%E3%80%82example/acme"} {
		if _, err := ParseRegistryURL(url); err == nil || !strings.Contains(err.Error(), "xn--") {
			t.Errorf("%s: the error is %v", url, err)
		}
	}
}

// Whatever the host, its one name stays the same when it is asked for again: comparing is an equivalence.
func FuzzPlaceHost(f *testing.F) {
	for _, host := range []string{"docker.io:443", "[::1]:5000", "r.example.com.", "index.docker.io.:80", "[fe80::1%eth0]", "a.localhost:80", ":::", "r:", "[::ffff:127.0.0.1]"} {
		f.Add(host)
	}
	f.Fuzz(func(t *testing.T, host string) {
		l, err := ParseRegistryURL("https://" + host + "/acme")
		if err != nil {
			return
		}
		once := placeHost(l.Host)
		if again := placeHost(once); again != once {
			t.Errorf("%q is %q, and that is %q", host, once, again)
		}
		if upper := placeHost(strings.ToUpper(l.Host)); upper != once {
			t.Errorf("%q is %q, in capitals %q", host, once, upper)
		}
	})
}

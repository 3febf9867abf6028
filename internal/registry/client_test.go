package registry_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/clienttest"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	rows := map[string]struct {
		reason, prefix string
		opts           []registrytest.Option
	}{
		"whole registry":            {reason: "a store may be all of a registry", prefix: ""},
		"prefix":                    {reason: "or a path in one", prefix: "acme/publisher"},
		"nfo registry":              {reason: "the registry that nfo ships", prefix: "acme", opts: []registrytest.Option{registrytest.Own()}},
		"nfo registry, short pages": {reason: "the registry that nfo ships, and few tags a page", prefix: "acme", opts: []registrytest.Option{registrytest.Own(), registrytest.MaxTags(7)}},
		"short pages":               {reason: "a registry may give fewer tags a page than asked for", prefix: "acme", opts: []registrytest.Option{registrytest.MaxTags(7)}},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := registrytest.Start(t, row.opts...)
			registrytest.Conformance(t, open(t, registry.Config{Location: r.Location(row.prefix)}))
		})
	}
}

func TestI9NothingOutsideThePrefix(t *testing.T) {
	t.Parallel()
	r := registrytest.Start(t)
	c := open(t, registry.Config{Location: r.Location("acme")})
	rows := map[string]struct{ reason, repository, reference string }{
		"another store":    {"it is somebody else's", "other/app", "1.0.0"},
		"prefix by letter": {"prefixes are whole segments", "acmecorp/app", "1.0.0"},
		"prefix itself":    {"a repository lies below the prefix", "acme", "1.0.0"},
		"climbing":         {"the name is not a repository name", "acme/../other", "1.0.0"},
		"query":            {"nor is this", "acme/app?x=", "1.0.0"},
		"too long":         {"names end at 255 characters", "acme/" + strings.Repeat("a", 251), "1.0.0"},
		"digest as tag":    {"untagging never takes a digest", "acme/app", digest.FromString("x").String()},
		"empty tag":        {"nor nothing", "acme/app", ""},
		"path as tag":      {"nor a path", "acme/app", "../../other/app/manifests/1.0.0"},
	}
	for name, row := range rows {
		if err := c.Untag(t.Context(), row.repository, row.reference); !errors.Is(err, registry.ErrConfig) {
			t.Errorf("%s: %v, want ErrConfig: %s", name, err, row.reason)
		}
	}
	if n := r.Count(nil); n != 0 {
		t.Errorf("%d requests went out, want none", n)
	}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	rows := map[string]struct {
		reason string
		cfg    registry.Config
		want   error
	}{
		"ok":         {"host and port", registry.Config{Location: v1alpha1.RegistryLocation{Host: "registry.example.com:5000"}}, nil},
		"no host":    {"there is nothing to reach", registry.Config{}, registry.ErrConfig},
		"path":       {"a path is not a host", registry.Config{Location: v1alpha1.RegistryLocation{Host: "a/b"}}, registry.ErrConfig},
		"user":       {"a user has no place here", registry.Config{Location: v1alpha1.RegistryLocation{Host: "me:hidden@a"}}, registry.ErrConfig},
		"bad bundle": {"no certificate would mean the system's roots", registry.Config{Location: v1alpha1.RegistryLocation{Host: "a"}, CABundle: []byte("-----BEGIN JUNK-----")}, registry.ErrConfig},
	}
	for name, row := range rows {
		_, err := registry.Open(row.cfg)
		if !errors.Is(err, row.want) {
			t.Errorf("%s: %v, want %v: %s", name, err, row.want, row.reason)
		}
		if err != nil && strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: the error shows the user info: %v", name, err)
		}
	}
}

func TestPing(t *testing.T) {
	t.Parallel()
	rows := map[string]struct {
		reason string
		answer http.HandlerFunc
		want   error
	}{
		"registry":      {"an empty document is all that there is", func(w http.ResponseWriter, _ *http.Request) { say(w, "{}") }, nil},
		"login page":    {"a portal answers 200 to everything", html(http.StatusOK), registry.ErrUnavailable},
		"no registry":   {"must not be taken for a missing artifact", http.NotFound, registry.ErrUnavailable},
		"forbidden":     {"the address is not allowed", status(http.StatusForbidden), registry.ErrDenied},
		"redirect loop": {"redirects are bounded", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) }, registry.ErrUnavailable},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := serve(t, row.answer).Ping(t.Context()); !errors.Is(err, row.want) {
				t.Errorf("Ping: %v, want %v: %s", err, row.want, row.reason)
			}
		})
	}
}

// The configuration of a store in the cluster's own registry comes from the status that the manager has written.
func TestConfigOfAStoreInTheClustersRegistry(t *testing.T) {
	t.Parallel()
	s := &v1alpha1.ArtifactStore{Spec: v1alpha1.ArtifactStoreSpec{Registry: v1alpha1.RegistrySpec{ClusterRegistry: &v1alpha1.ClusterRegistrySpec{}}}}
	s.Namespace = "publisher"
	if _, err := registry.ConfigOf(s, nil); !errors.Is(err, registry.ErrNoClusterRegistry) || !strings.Contains(err.Error(), "registry.enabled=true") {
		t.Errorf("before the manager has, the error is %v", err)
	}
	s.Status.URL, s.Status.CABundle = "https://registry:5000/publisher", []byte("certificates")
	got, err := registry.ConfigOf(s, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := registry.Config{Location: v1alpha1.RegistryLocation{Host: "registry:5000", Prefix: "publisher"}, CABundle: []byte("certificates"), Tenant: "publisher"}
	if diff := cmp.Diff(want, got, cmp.FilterPath(func(p cmp.Path) bool { return p.String() == "Transport" || p.String() == "Budget" }, cmp.Ignore())); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

const password = "correct-horse"

var (
	open  = clienttest.Open
	serve = clienttest.Serve
	start = clienttest.Start
)

func push(t *testing.T, host, repository, tag, seed string) ocispec.Descriptor {
	t.Helper()
	desc, err := registrytest.PushImage(t.Context(), host, repository, tag, seed)
	if err != nil {
		t.Fatal(err)
	}
	return desc
}

// wantAt checks the digest of each tag of the repository app; "" means absent.
func wantAt(t *testing.T, c *registry.Client, want map[string]digest.Digest) {
	t.Helper()
	for reference, d := range want {
		desc, err := c.Resolve(t.Context(), "app", reference)
		if d == "" && errors.Is(err, registry.ErrNotFound) {
			continue
		}
		if err != nil || desc.Digest != d {
			t.Errorf("%s is at %q (%v), want %q", reference, desc.Digest, err, d)
		}
	}
}

// say answers a request. Its error does not matter, because the client may have closed the connection.
func say(w http.ResponseWriter, text string) { _, _ = io.WriteString(w, text) }

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// unknown answers as a registry does for an object that does not exist.
func unknown(code string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		registrytest.Fail(w, http.StatusNotFound, code, "not here")
	}
}

func html(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(code)
		say(w, "<html><body>Welcome</body></html>")
	}
}

package registry_test

import (
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

func TestConformanceOfACR(t *testing.T) {
	t.Parallel()
	r := registrytest.Start(t)
	r.ServeACR()
	registrytest.Conformance(t, open(t, registry.Config{Location: r.Location("acme")}))
}

// This test finds a list that does not reflect what is pushed, untagged, deleted and locked.
func TestACRLists(t *testing.T) {
	t.Parallel()
	r, c := start(t, registrytest.MaxTags(2))
	r.ServeACR()
	shown := func(want map[digest.Digest]string) {
		t.Helper()
		listed, err := c.List(t.Context(), "acme/app")
		if err != nil {
			t.Fatal(err)
		}
		got := map[digest.Digest]string{}
		for _, l := range listed {
			got[l.Digest] = fmt.Sprint(l.Tags, l.Locked)
			if desc, err := c.Resolve(t.Context(), "acme/app", l.Digest.String()); err != nil || desc.MediaType != l.MediaType {
				t.Errorf("%s is listed as %q and is %q, %v", l.Digest, l.MediaType, desc.MediaType, err)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("List: -want +got\n%s", diff)
		}
	}
	if _, err := c.List(t.Context(), "acme/app"); !errors.Is(err, registry.ErrNotFound) {
		t.Fatalf("before the first push: %v, want ErrNotFound", err)
	}
	a := push(t, r.Host, "acme/app", "1.0.0", "a").Digest
	push(t, r.Host, "acme/app", "stable", "a")
	b := push(t, r.Host, "acme/app", "2.0.0", "b").Digest
	index, err := registrytest.PushIndex(t.Context(), r.Host, "acme/app", "3.0.0", []string{"linux/arm64"}, "c")
	if err != nil {
		t.Fatal(err)
	}
	m, err := c.Manifest(t.Context(), "acme/app", index.Digest)
	if err != nil {
		t.Fatal(err)
	}
	child := m.Children[0].Digest
	shown(map[digest.Digest]string{a: "[1.0.0 stable] false", b: "[2.0.0] false", index.Digest: "[3.0.0] false", child: "[] false"})
	if err := c.Untag(t.Context(), "acme/app", "2.0.0"); err != nil {
		t.Fatal(err)
	}
	if err := c.Delete(t.Context(), "acme/app", a); err != nil {
		t.Fatal(err)
	}
	r.Lock("acme/app", b)
	shown(map[digest.Digest]string{b: "[] true", index.Digest: "[3.0.0] false", child: "[] false"})

	if err := c.Delete(t.Context(), "acme/app", b); !errors.Is(err, registry.ErrDenied) || errors.Is(err, registry.ErrUnsupported) {
		t.Errorf("deleting what is locked: %v, want ErrDenied: others can be deleted", err)
	}
	r.Unlock("acme/app", b)
	if err := c.Delete(t.Context(), "acme/app", b); err != nil {
		t.Errorf("unlocked: %v", err)
	}
	shown(map[digest.Digest]string{index.Digest: "[3.0.0] false", child: "[] false"})
}

// The realm is a path of the registry itself, and the token allows only reading metadata.
func TestACRTokens(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	desc := push(t, registrytest.Start(t, registrytest.InDir(dir)).Host, "acme/app", "1.0.0", "a")
	r := registrytest.Start(t, registrytest.InDir(dir), registrytest.BearerAuth("acme", password))
	r.ServeACR()
	login := registry.Credential{Username: "acme", Password: password}
	c := open(t, registry.Config{Location: r.Location("acme"), Credential: login})
	for _, requests := range []int{3, 1} { // the first is challenged and fetches a token
		r.Forget()
		listed, err := c.List(t.Context(), "acme/app")
		if err != nil || len(listed) != 1 || listed[0].Digest != desc.Digest {
			t.Fatalf("%v, %v; want %s alone", listed, err, desc.Digest)
		}
		if n := r.Count(nil); n != requests {
			t.Errorf("%d requests, want %d", n, requests)
		}
	}
	if diff := cmp.Diff([]string{"repository:acme/app:metadata_read"}, r.Tokens.Scopes()); diff != "" {
		t.Errorf("tokens: -want +got\n%s", diff)
	}

	r.Tokens.Withhold("metadata_read")
	_, err := open(t, registry.Config{Location: r.Location("acme"), Credential: login}).List(t.Context(), "acme/app")
	if !errors.Is(err, registry.ErrDenied) {
		t.Errorf("a login that may not read metadata: %v, want ErrDenied", err)
	}
	wrong := registry.Credential{Username: "acme", Password: "wrong-horse"}
	_, err = open(t, registry.Config{Location: r.Location("acme"), Credential: wrong}).List(t.Context(), "acme/app")
	if !errors.Is(err, registry.ErrDenied) {
		t.Errorf("wrong password: %v, want ErrDenied", err)
	}
	registrytest.NoSecret(t, err, wrong)
}

// A registry that receives too many requests says when to try again.
func TestACRBusy(t *testing.T) {
	t.Parallel()
	r, c := start(t)
	r.ServeACR()
	desc := push(t, r.Host, "app", "1.0.0", "a")
	var busy atomic.Bool
	busy.Store(true)
	r.Intercept(func(w http.ResponseWriter, _ *http.Request) bool {
		if !busy.Load() {
			return false
		}
		w.Header().Set("Retry-After", "45")
		registrytest.Fail(w, http.StatusTooManyRequests, "TOOMANYREQUESTS", "too many requests")
		return true
	})
	_, listErr := c.List(t.Context(), "app")
	deleteErr := c.Delete(t.Context(), "app", desc.Digest)
	for act, err := range map[string]error{"List": listErr, "Delete": deleteErr} {
		if wait := registry.RetryAfter(err); !errors.Is(err, registry.ErrUnavailable) || wait != 45*time.Second {
			t.Errorf("%s: %v, wait %s; want ErrUnavailable, 45s", act, err, wait)
		}
	}
	busy.Store(false)
	if listed, err := c.List(t.Context(), "app"); err != nil || len(listed) != 1 {
		t.Errorf("later: %v, %v; want one manifest", listed, err)
	}
}

// distribution does not know the path of the list. The client must ask for it only once.
func TestListUnsupported(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]*registrytest.Registry{
		"no login": registrytest.Start(t),
		"basic":    registrytest.Start(t, registrytest.BasicAuth("acme", password)),
		"bearer":   registrytest.Start(t, registrytest.BearerAuth("acme", password)),
	} {
		c := open(t, registry.Config{
			Location:   v1alpha1.RegistryLocation{PlainHTTP: true, Host: r.Host},
			Credential: registry.Credential{Username: "acme", Password: password},
		})
		for range 2 {
			if _, err := c.List(t.Context(), "app"); !errors.Is(err, registry.ErrUnsupported) {
				t.Errorf("%s: %v, want ErrUnsupported", name, err)
			}
		}
		if n := r.Count(nil); n != 1 {
			t.Errorf("%s: %d requests, want 1", name, n)
		}
	}
}

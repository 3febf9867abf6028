package registry_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

// kept says which of the two tags still exist after the trial.
// 1.0.0 (released) and stable (sibling) were at one digest.
type kept struct{ released, sibling bool }

func TestI6LearnUntagPutsBackWhatATagDeleteTook(t *testing.T) {
	t.Parallel()
	rows := map[string]struct {
		reason string
		kind   func(*registrytest.Registry)
		want   v1alpha1.Support
		err    error
		kept   kept
		twice  bool // only the second trial finds it out
	}{
		"removes the tag alone": {"as the specification says", func(*registrytest.Registry) {}, v1alpha1.Supported, nil, kept{false, true}, false},
		"refuses":               {"nothing has changed", (*registrytest.Registry).RefuseTagDelete, v1alpha1.Unsupported, nil, kept{true, true}, false},
		"takes the digest":      {"all of it is back", (*registrytest.Registry).TagDeleteTakesDigest, v1alpha1.Unsupported, nil, kept{true, true}, true},
		"takes the digest, answers 500": {"the answer does not matter", func(r *registrytest.Registry) {
			onTagDelete(r, func(w http.ResponseWriter, req *http.Request) {
				r.DeleteDigestOf(discard{}, req)
				w.WriteHeader(http.StatusInternalServerError)
			})
		}, v1alpha1.Unsupported, nil, kept{true, true}, true},
		"takes the digest, breaks": {"nor does a lost one", func(r *registrytest.Registry) {
			onTagDelete(r, func(_ http.ResponseWriter, req *http.Request) {
				r.DeleteDigestOf(discard{}, req)
				panic(http.ErrAbortHandler)
			})
		}, v1alpha1.Unsupported, nil, kept{true, true}, true},
		"takes the sibling": {"no sibling is ever lost", func(r *registrytest.Registry) {
			onTagDelete(r, func(w http.ResponseWriter, req *http.Request) {
				r.App.ServeHTTP(w, req)
				other := req.Clone(req.Context())
				other.URL.Path = strings.Replace(req.URL.Path, "1.0.0", "stable", 1)
				r.App.ServeHTTP(discard{}, other)
			})
		}, v1alpha1.Unsupported, nil, kept{true, true}, true},
		"removes the tag, answers 500": {"it did", func(r *registrytest.Registry) {
			onTagDelete(r, func(w http.ResponseWriter, req *http.Request) {
				r.App.ServeHTTP(discard{}, req)
				w.WriteHeader(http.StatusInternalServerError)
			})
		}, v1alpha1.Supported, nil, kept{false, true}, false},
		"says yes, does nothing": {"it cannot", func(r *registrytest.Registry) {
			onTagDelete(r, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) })
		}, v1alpha1.Unsupported, nil, kept{true, true}, false},
		"fails": {"nothing was learnt", func(r *registrytest.Registry) {
			onTagDelete(r, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
		}, v1alpha1.SupportUnknown, registry.ErrUnavailable, kept{true, true}, false},
		"takes the digest, then denies to look": {"what cannot be seen may be gone", func(r *registrytest.Registry) {
			var blind atomic.Bool
			r.Intercept(func(w http.ResponseWriter, req *http.Request) bool {
				byDigest := strings.Contains(req.URL.Path, ":")
				switch {
				case req.Method == http.MethodDelete && !byDigest:
					r.DeleteDigestOf(w, req)
					blind.Store(true)
				case req.Method == http.MethodHead && byDigest && blind.Load():
					w.WriteHeader(http.StatusForbidden)
					blind.Store(false)
				default:
					return false
				}
				return true
			})
		}, v1alpha1.SupportUnknown, registry.ErrDenied, kept{true, true}, false},
		"denies": {"nothing was learnt: the right is missing, not the feature", func(r *registrytest.Registry) {
			onTagDelete(r, func(w http.ResponseWriter, _ *http.Request) {
				registrytest.Fail(w, http.StatusForbidden, "DENIED", "no")
			})
		}, v1alpha1.SupportUnknown, registry.ErrDenied, kept{true, true}, false},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, c := start(t)
			desc, err := registrytest.PushIndex(t.Context(), r.Host, "app", "1.0.0", []string{"linux/amd64", "linux/arm64"}, "a")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := registrytest.PushIndex(t.Context(), r.Host, "app", "stable", []string{"linux/amd64", "linux/arm64"}, "a"); err != nil {
				t.Fatal(err)
			}
			other := push(t, r.Host, "app", "2.0.0", "b")
			row.kind(r)
			support, err := c.LearnUntag(t.Context(), "app", "1.0.0", desc.Digest)
			if row.twice && support == v1alpha1.SupportUnknown && errors.Is(err, registry.ErrUnavailable) {
				<-time.After(registry.RetryAfter(err))
				support, err = c.LearnUntag(t.Context(), "app", "1.0.0", desc.Digest)
			}
			if support != row.want || !errors.Is(err, row.err) {
				t.Errorf("LearnUntag: %s, %v; want %s, %v: %s", support, err, row.want, row.err, row.reason)
			}
			want := map[string]digest.Digest{desc.Digest.String(): desc.Digest, "1.0.0": "", "stable": "", "2.0.0": other.Digest}
			if row.kept.released {
				want["1.0.0"] = desc.Digest
			}
			if row.kept.sibling {
				want["stable"] = desc.Digest
			}
			wantAt(t, c, want)
		})
	}
}

func TestI6LearnUntagWritesNothingUnlessSure(t *testing.T) {
	t.Parallel()
	rows := map[string]struct {
		reason  string
		path    string
		code    int
		want    error
		support v1alpha1.Support
	}{
		"no manifest":         {"without its bytes it could not be put back", "/manifests/sha256:", http.StatusForbidden, registry.ErrDenied, v1alpha1.SupportUnknown},
		"no tags":             {"a sibling could be lost", "/tags/list", http.StatusForbidden, registry.ErrDenied, v1alpha1.SupportUnknown},
		"a tag is unreadable": {"it could be a sibling", "/manifests/stable", http.StatusForbidden, registry.ErrDenied, v1alpha1.SupportUnknown},
		"tag may be gone":     {"I2: it is not said that it is", "/manifests/1.0.0", http.StatusNotFound, registry.ErrUnavailable, v1alpha1.SupportUnknown},
		"tag is gone":         {"I11: it is done, and nothing was learnt", "/manifests/1.0.0", 0, nil, v1alpha1.SupportUnknown},
		"a tag is gone":       {"I2: it is listed, so it could be a sibling", "/manifests/stable", 0, registry.ErrUnreadable, v1alpha1.SupportUnknown},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, c := start(t)
			desc := push(t, r.Host, "app", "1.0.0", "a")
			push(t, r.Host, "app", "stable", "a")
			r.Forget()
			r.Intercept(func(w http.ResponseWriter, req *http.Request) bool {
				if !strings.Contains(req.URL.Path, row.path) {
					return false
				}
				if row.code == 0 {
					unknown("MANIFEST_UNKNOWN")(w, req)
					return true
				}
				w.WriteHeader(row.code)
				return true
			})
			support, err := c.LearnUntag(t.Context(), "app", "1.0.0", desc.Digest)
			if support != row.support || !errors.Is(err, row.want) {
				t.Errorf("LearnUntag: %s, %v; want %s, %v: %s", support, err, row.support, row.want, row.reason)
			}
			if n := r.Writes(); n != 0 {
				t.Errorf("%d writes, want none: %s", n, row.reason)
			}
		})
	}
}

func TestI6TooManyTagsToBeSure(t *testing.T) {
	t.Parallel()
	r, c := start(t)
	desc := push(t, r.Host, "app", "1.0.0", "a")
	r.Forget()
	r.Intercept(func(w http.ResponseWriter, req *http.Request) bool {
		if !strings.HasSuffix(req.URL.Path, "/tags/list") {
			return false
		}
		tags := make([]string, 10_001)
		for i := range tags {
			tags[i] = fmt.Sprintf("t%d", i)
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"tags": tags})
		return true
	})
	support, err := c.LearnUntag(t.Context(), "app", "1.0.0", desc.Digest)
	if support != v1alpha1.SupportUnknown || !errors.Is(err, registry.ErrUnreadable) || r.Count(nil) > 5 {
		t.Errorf("LearnUntag: %s, %v after %d requests; want ErrUnreadable after a few", support, err, r.Count(nil))
	}
}

func TestI4TrialSeesThatTheTagMoved(t *testing.T) {
	t.Parallel()
	r, c := start(t)
	desc := push(t, r.Host, "app", "1.0.0", "a")
	trial, err := c.PrepareTrial(t.Context(), "app", "1.0.0", desc.Digest)
	if err != nil {
		t.Fatal(err)
	}
	newer := push(t, r.Host, "app", "1.0.0", "b")
	if support, err := trial.Untag(t.Context()); support != v1alpha1.SupportUnknown || !errors.Is(err, registry.ErrTagTaken) {
		t.Errorf("Untag: %s, %v; want ErrTagTaken: the newer digest is in no tombstone", support, err)
	}
	if _, err := c.PrepareTrial(t.Context(), "app", "1.0.0", desc.Digest); !errors.Is(err, registry.ErrTagTaken) {
		t.Errorf("PrepareTrial: %v, want ErrTagTaken", err)
	}
	wantAt(t, c, map[string]digest.Digest{"1.0.0": newer.Digest})
}

func TestI6PutsBackAfterTheDeadline(t *testing.T) {
	t.Parallel()
	r, c := start(t)
	desc := push(t, r.Host, "app", "1.0.0", "a")
	trial, err := c.PrepareTrial(t.Context(), "app", "1.0.0", desc.Digest)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	onTagDelete(r, func(w http.ResponseWriter, req *http.Request) {
		r.DeleteDigestOf(discard{}, req.WithContext(t.Context()))
		cancel() // the lease is lost, and the deadline has passed
		w.WriteHeader(http.StatusAccepted)
	})
	if support, err := trial.Untag(ctx); support != v1alpha1.SupportUnknown || !errors.Is(err, registry.ErrUnavailable) {
		t.Errorf("Untag: %s, %v; want %s, ErrUnavailable", support, err, v1alpha1.SupportUnknown)
	}
	wantAt(t, c, map[string]digest.Digest{"1.0.0": desc.Digest})
}

// Only a second trial, some time after the first, proves that a registry deletes the digest with a tag.
func TestI6LearnsFromTwoTrials(t *testing.T) {
	t.Parallel()
	r := registrytest.Start(t)
	const apart = 3 * time.Second // longer than a busy machine takes from one trial to the next
	c := open(t, registry.Config{Location: r.Location(""), SecondLook: apart})
	desc := push(t, r.Host, "app", "1.0.0", "a")
	r.TagDeleteTakesDigest()
	learn := func() (v1alpha1.Support, error) { return c.LearnUntag(t.Context(), "app", "1.0.0", desc.Digest) }
	support, err := learn()
	if support != v1alpha1.SupportUnknown || !errors.Is(err, registry.ErrUnavailable) {
		t.Errorf("first time: %s, %v; want %s, ErrUnavailable", support, err, v1alpha1.SupportUnknown)
	}
	writes := r.Writes()
	support, err = learn()
	if wait := registry.RetryAfter(err); support != v1alpha1.SupportUnknown || wait <= 0 || wait > apart || r.Writes() != writes {
		t.Errorf("too soon: %s, %v after %d more writes, to be repeated in %s; want %s, without a write, within %s", support, err, r.Writes()-writes, wait, v1alpha1.SupportUnknown, apart)
	}
	<-time.After(apart)
	if support, err := learn(); support != v1alpha1.Unsupported || err != nil {
		t.Errorf("second time: %s, %v; want %s", support, err, v1alpha1.Unsupported)
	}
	wantAt(t, c, map[string]digest.Digest{"1.0.0": desc.Digest})
}

// If a process ends between the DELETE and the PUT, the data that a caller
// can store before the DELETE must be sufficient for the next process.
func TestI4RestoreAfterACrash(t *testing.T) {
	t.Parallel()
	r, c := start(t)
	desc := push(t, r.Host, "app", "1.0.0", "a")
	push(t, r.Host, "app", "stable", "a")
	push(t, r.Host, "app", "latest", "a")
	trial, err := c.PrepareTrial(t.Context(), "app", "1.0.0", desc.Digest)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"1.0.0", "latest", "stable"}, trial.Tags); diff != "" {
		t.Errorf("tags at the digest: -want +got\n%s", diff)
	}
	if err := c.Delete(t.Context(), "app", desc.Digest); err != nil {
		t.Fatal(err)
	}
	newer := push(t, r.Host, "app", "latest", "b")
	for range 2 {
		if err := c.Restore(t.Context(), "app", trial.Manifest, trial.Tags); err != nil {
			t.Fatal(err)
		}
		wantAt(t, c, map[string]digest.Digest{"1.0.0": desc.Digest, "stable": desc.Digest, "latest": newer.Digest})
	}
}

// onTagDelete has f answer every DELETE of a tag.
func onTagDelete(r *registrytest.Registry, f http.HandlerFunc) {
	r.Intercept(func(w http.ResponseWriter, req *http.Request) bool {
		if req.Method != http.MethodDelete || strings.Contains(req.URL.Path, ":") {
			return false
		}
		f(w, req)
		return true
	})
}

// discard is an answer that is not sent.
type discard struct{}

func (discard) Header() http.Header         { return http.Header{} }
func (discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) WriteHeader(int)             {}

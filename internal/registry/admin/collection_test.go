package admin_test

import (
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/clusterregistry/collect"
	clusterregistry "github.com/nfo-operator/nfo/internal/clusterregistry/serve"
	"github.com/nfo-operator/nfo/internal/clusterregistry/volume"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/registry/clienttest"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

var acme = types.NamespacedName{Namespace: "publisher", Name: "acme"}

var (
	open  = clienttest.Open
	serve = clienttest.Serve
)

// says answers every request with body, and returns the last request.
func says(t *testing.T, status int, contentType, body string) (*registry.Client, *http.Request) {
	t.Helper()
	last := &http.Request{}
	return serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*last = *r
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	})), last
}

// This test finds a path or a name of a field on which nfo's own registry and its client disagree.
func TestTheClustersRegistryTellsOfItsDisk(t *testing.T) {
	t.Parallel()
	v, err := volume.Open(t.TempDir(), volume.Options{})
	if err != nil {
		t.Fatal(err)
	}
	// No goroutine runs the collections, so the requested one stays pending.
	r, err := clusterregistry.New(t.Context(), clusterregistry.Options{Volume: v, Collection: collect.Options{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	c := serve(t, r.Handler())
	usage, err := v.Usage()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.Disk(t.Context(), acme); err != nil || got.Size != usage.Size || got.Used <= 0 || got.Used > got.Size {
		t.Errorf("%+v, %v, want the size %d", got, err, usage.Size)
	}
	if got, err := c.Collection(t.Context(), acme); err != nil || got != (registry.Collection{}) {
		t.Errorf("before any collection: %+v, %v", got, err)
	}
	if got, err := c.Collect(t.Context(), acme); err != nil || got != (registry.Collection{Requested: 1}) {
		t.Errorf("asked for: %+v, %v", got, err)
	}
}

func TestCollectionState(t *testing.T) {
	t.Parallel()
	c, last := says(t, http.StatusOK, "application/json", `{"running":true,"requested":7,"done":5,"error":"line\u001b[2J\n`+strings.Repeat("x", 2000)+`",
		"progress":{"phase":"deleting","done":3},"last":{"dryRun":true,"deleted":{"bytes":40,"uploadBytes":2},"took":{"deleting":1}},"another":1}`)
	got, err := c.Collection(t.Context(), acme)
	if err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(got.Failed, "\x1b\n") || len(got.Failed) > 1024 {
		t.Errorf("the failure is %q, want one short line", got.Failed)
	}
	got.Failed = ""
	if diff := cmp.Diff(registry.Collection{Requested: 7, Done: 5, Phase: "deleting", Count: 3, Freed: 42, DryRun: true}, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if last.URL.Path != "/nfo/v1/collection" || last.URL.Query().Get("store") != "publisher/acme" || last.Method != http.MethodGet {
		t.Errorf("asked was %s %s", last.Method, last.URL)
	}
}

func TestAnswersAboutTheDiskThatDoNotCount(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		reason string
		status int
		kind   string
		body   string
		want   error
	}{
		"NotFound":  {"another registry has no such path", 404, "text/plain", "404 page not found", registry.ErrUnsupported},
		"NoMethod":  {"nor takes the method", 405, "text/plain", "", registry.ErrUnsupported},
		"NoVolume":  {"it uses storage other than a volume", 501, "application/json", `{"errors":[{"code":"UNSUPPORTED","message":"it cannot collect"}]}`, registry.ErrUnsupported},
		"WebPage":   {"a registry whose web pages have any path", 200, "text/html", "<html>", registry.ErrUnsupported},
		"Login":     {"", 401, "application/json", "{}", registry.ErrDenied},
		"Denied":    {"", 403, "application/json", `{"errors":[{"code":"DENIED","message":"the verb purge"}]}`, registry.ErrDenied},
		"Down":      {"", 503, "application/json", "{}", registry.ErrUnavailable},
		"NoJSON":    {"", 200, "application/json", "{", registry.ErrUnreadable},
		"TooLarge":  {"more than is ever needed", 200, "application/json", `{"error":"` + strings.Repeat("x", 300<<10) + `"}`, registry.ErrUnreadable},
		"Negative":  {"no count is below 0", 200, "application/json", `{"size":10,"used":-1,"requested":-1}`, registry.ErrUnreadable},
		"Overfull":  {"more than all is used", 200, "application/json", `{"size":10,"used":11,"done":-1}`, registry.ErrUnreadable},
		"Fractions": {"bytes are whole", 200, "application/json", `{"size":1.5,"done":1.5}`, registry.ErrUnreadable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, last := says(t, row.status, row.kind, row.body)
			_, disk := c.Disk(t.Context(), acme)
			_, asked := c.Collect(t.Context(), acme)
			if last.Method != http.MethodPost {
				t.Errorf("a collection is asked for with %s", last.Method)
			}
			for _, err := range []error{disk, asked} {
				if !errors.Is(err, row.want) {
					t.Errorf("%s: %v, want %v", row.reason, err, row.want)
				}
			}
			if row.status == http.StatusForbidden && !strings.Contains(disk.Error(), "the verb purge") {
				t.Errorf("%v does not say what the registry said", disk)
			}
		})
	}
}

// Each request for a collection starts one, so it must not be repeated.
func TestCollectIsSentOnce(t *testing.T) {
	t.Parallel()
	sent := 0
	c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		sent++
		w.WriteHeader(http.StatusBadGateway)
	}))
	if _, err := c.Collect(t.Context(), acme); !errors.Is(err, registry.ErrUnavailable) || sent != 1 {
		t.Errorf("%d requests were sent, and %v", sent, err)
	}
}

func TestFreedBytesDoNotOverflow(t *testing.T) {
	t.Parallel()
	c, _ := says(t, http.StatusOK, "application/json", `{"last":{"deleted":{"bytes":9223372036854775807,"uploadBytes":9223372036854775807}}}`)
	if got, err := c.Collection(t.Context(), acme); err != nil || got.Freed != math.MaxInt64 {
		t.Errorf("%+v, %v", got, err)
	}
}

// Distribution itself does not have the routes of nfo's own registry, whatever login it asks for.
func TestDistributionHasNoCollections(t *testing.T) {
	t.Parallel()
	r := registrytest.Start(t, registrytest.BasicAuth("acme", "hidden"))
	c := open(t, registry.Config{Location: r.Location(""), Credential: registry.Credential{Username: "acme", Password: "hidden"}})
	if _, err := c.Disk(t.Context(), acme); !errors.Is(err, registry.ErrUnsupported) || !strings.Contains(err.Error(), "only the registry that nfo ships") {
		t.Errorf("%v", err)
	}
	gone := httptest.NewServer(http.NotFoundHandler())
	host := gone.Listener.Addr().String()
	gone.Close()
	c = open(t, registry.Config{Location: v1alpha1.RegistryLocation{PlainHTTP: true, Host: host}})
	if _, err := c.Collection(t.Context(), acme); !errors.Is(err, registry.ErrUnavailable) {
		t.Errorf("%v", err)
	}
}

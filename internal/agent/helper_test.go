package agent

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"k8s.io/client-go/util/keyutil"

	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

// serverName is a name in the certificates of httptest.
const serverName = "example.com"

// scene is an agent, with several replicas of a registry on the same folder and an origin.
type scene struct {
	agent    *Agent
	node     *httptest.Server
	folder   string
	replicas []*registrytest.Registry
	origin   *registrytest.Registry
	// segment is the origin's host in a path of the mirror.
	segment string
}

// aScene starts an agent with two replicas and an origin; change may change the agent's options.
func aScene(t *testing.T, change func(*scene, *Options), origin ...registrytest.Option) *scene {
	t.Helper()
	s := &scene{folder: t.TempDir(), origin: registrytest.Start(t, origin...)}
	s.segment = strings.Replace(s.origin.Host, ":", "_", 1)
	var hosts []string
	for range 2 {
		r := registrytest.Start(t, registrytest.InDir(s.folder), registrytest.TLS())
		s.replicas, hosts = append(s.replicas, r), append(hosts, r.Host)
	}
	o := Options{
		Registry: []string{serverName + ":443"}, Files: clientFiles(t, s.replicas[0].CA), PlainHTTP: []string{s.origin.Host},
		Replicas: func(context.Context) ([]string, error) { return hosts, nil },
	}
	if change != nil {
		change(s, &o)
	}
	var err error
	if s.agent, err = New(o); err != nil {
		t.Fatal(err)
	}
	s.node = httptest.NewServer(s.agent)
	t.Cleanup(s.node.Close)
	return s
}

// clientFiles writes a client certificate and the registry's certificate authorities to files.
func clientFiles(t *testing.T, authorities []byte) Files {
	t.Helper()
	pair, err := selfSigned(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	key, err := keyutil.MarshalPrivateKeyToPEM(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	f := Files{filepath.Join(folder, "ca.crt"), filepath.Join(folder, "tls.crt"), filepath.Join(folder, "tls.key")}
	for name, content := range map[string][]byte{
		f.Authorities: authorities, f.Certificate: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}), f.Key: key,
	} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// mirror pushes an image with the tag 1 into the mirror, as a copy by the manager would.
func (s *scene) mirror(t *testing.T, repository, seed string) ocispec.Descriptor {
	t.Helper()
	plain := registrytest.Start(t, registrytest.InDir(s.folder))
	return push(t, plain.Host, "mirror.nfo.dev/"+s.segment+"/"+repository, seed)
}

func push(t *testing.T, host, repository, seed string) ocispec.Descriptor {
	t.Helper()
	d, err := registrytest.PushImage(t.Context(), host, repository, "1", seed)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// reply is the response that a node gets.
type reply struct {
	status int
	header http.Header
	body   string
	err    error // of the connection
}

// get sends a request as a node's runtime does.
func (s *scene) get(t *testing.T, path string, change ...func(*http.Request)) reply {
	t.Helper()
	return request(t, http.DefaultClient, s.node.URL+path, change...)
}

func request(t *testing.T, client *http.Client, url string, change ...func(*http.Request)) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", ocispec.MediaTypeImageManifest+", "+ocispec.MediaTypeImageIndex)
	for _, c := range change {
		c(req)
	}
	resp, err := client.Do(req)
	if err != nil {
		return reply{err: err}
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, string(body), err}
}

func (s *scene) path(repository, what string) string {
	return "/v2/" + s.segment + "/" + repository + "/" + what
}

// layer returns the digest of the first layer of a manifest.
func layer(t *testing.T, manifest string) string {
	t.Helper()
	var m ocispec.Manifest
	if err := json.Unmarshal([]byte(manifest), &m); err != nil || len(m.Layers) == 0 {
		t.Fatal(err, manifest)
	}
	return m.Layers[0].Digest.String()
}

// counted returns the number of requests that the agent has counted for a source.
func (s *scene) counted(source string) int {
	return int(testutil.ToFloat64(s.agent.counters.requests.WithLabelValues(source)))
}

package publish

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry/registrytest"
)

// A registry that stops sending the image or its signature makes one try fail, not the whole command.
func TestASourceThatStopsSending(t *testing.T) {
	const upf = "r.example.com/acme/upf:1"
	for name, of := range map[string]string{"Image": "", "Signature": "sha256:"} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, v1alpha1.RewriteAlways)
			s.stall = 300 * time.Millisecond
			image := s.build("x/upf", "upf")
			sbom, err := registrytest.PushReferrer(t.Context(), s.from.Host, "x/upf", image, "application/spdx+json", []byte("sbom"))
			if err != nil {
				t.Fatal(err)
			}
			blob := digest.FromString("sbom").String()
			var once atomic.Bool
			s.from.Intercept(func(w http.ResponseWriter, req *http.Request) bool {
				if req.Method != http.MethodGet || !strings.Contains(req.URL.Path, "/blobs/") || strings.HasSuffix(req.URL.Path, blob) != (of != "") || once.Swap(true) {
					return false
				}
				w.WriteHeader(http.StatusOK)
				_ = http.NewResponseController(w).Flush()
				<-req.Context().Done()
				return true
			})
			if err := s.load(upf + "=" + s.from.Host + "/x/upf:1"); err != nil || !once.Load() {
				t.Errorf("%v; it stopped: %t", err, once.Load())
			}
			if err := s.client.Verify(t.Context(), v1alpha1.MirrorPrefix+"/r.example.com/acme/upf", "", sbom); s.at(upf) != image.Digest.String() || err != nil {
				t.Errorf("the mirror has %q, and of its signature: %v", s.at(upf), err)
			}
			if !strings.Contains(s.says.String(), "stands still") {
				t.Errorf("it says %q, and not why it tries again", s.says.String())
			}
		})
	}
}

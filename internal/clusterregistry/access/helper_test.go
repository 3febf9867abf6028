package access

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/inmemory" // registers itself
	"github.com/opencontainers/go-digest"
	"github.com/sirupsen/logrus"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
)

const (
	ci       = "system:serviceaccount:acme:ci"
	reader   = "system:serviceaccount:edge:reader"
	purgeSA  = "system:serviceaccount:acme:acme-purge"
	mirrorSA = "system:serviceaccount:acme:mirror-purge"
	intruder = "system:serviceaccount:acme:other-purge"
	anywhere = "system:serviceaccount:acme:anywhere"
	operator = "system:serviceaccount:nfo-system:nfo-manager"
)

// sealedManifest is the sealed content of tag 1 of the damaged ArtifactManifest "broken".
var sealedManifest = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.empty.v1+json","size":2,"digest":"` + digest.FromString("{}").String() + `"},"layers":[]}`

// server is a fake API server: it knows the users of tokens and their rights, and can fail.
type server struct {
	client.Client
	users  map[string]authenticationv1.TokenReviewStatus // by token
	rights map[string][]string                           // by user: verb resource/namespace/name
	clock  *clocktesting.FakeClock

	tokens, accesses atomic.Int64 // numbers of questions
	down             atomic.Bool
	hang             atomic.Bool // until the question times out

	mu                  sync.Mutex
	asking, mostAtOnce  int
	waitFor, mayProceed chan struct{}
}

func user(name string, audiences ...string) authenticationv1.TokenReviewStatus {
	return authenticationv1.TokenReviewStatus{Authenticated: true, Audiences: audiences, User: authenticationv1.UserInfo{Username: name, UID: "uid of " + name}}
}

func newServer(t testing.TB, objects ...client.Object) *server {
	t.Helper()
	scheme, err := reference.NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	s := &server{clock: clocktesting.NewFakeClock(time.Unix(1_700_000_000, 0))}
	s.users = map[string]authenticationv1.TokenReviewStatus{
		"ci": user(ci, Audience), "reader": user(reader, Audience), "purge": user(purgeSA, Audience), "intruder": user(intruder, Audience), "anywhere": user(anywhere, Audience), "mirror-purge": user(mirrorSA, Audience), "mirror-intruder": user("system:serviceaccount:acme:mirror-purge2", Audience), "operator": user(operator, Audience),
		"loader": user("system:serviceaccount:acme:loader", Audience), "site": user("system:serviceaccount:acme:site", Audience),
		"elsewhere": user(ci), "nobody": user("", Audience),
		"expired": {Error: "[invalid bearer token, service account token has expired]"},
		"deleted": {Error: "[invalid bearer token, serviceaccounts \"ci\" not found]"},
		"sneaky":  {User: authenticationv1.UserInfo{Username: operator}, Audiences: []string{Audience}},
	}
	s.rights = map[string][]string{
		ci:     {"push artifactmanifests/acme/cnf", "push artifactmanifests/acme/sealed", "push artifactmanifests/acme/leaving", "push artifactmanifests/acme/absent", "push artifactmanifests/acme/old", "push artifactmanifests/acme/pending", "push artifactmanifests/acme/loser", "push artifactmanifests/acme/shut", "push artifactmanifests/acme/moved", "push artifactmanifests/acme/broken", "push artifactmanifests/acme/sealing"},
		reader: {"pull artifactmanifests/acme/cnf"}, purgeSA: {"purge artifactstores/acme/acme"}, mirrorSA: {"purge artifactstores/acme/mirror"}, "system:serviceaccount:acme:mirror-purge2": {"purge artifactstores/acme/mirror"},
		anywhere:                            {"purge artifactstores/acme/elsewhere", "purge artifactstores/acme/gone", "push artifactstores/acme/winner"},
		"system:serviceaccount:acme:loader": {"push artifactstores/acme/mirror"}, "system:serviceaccount:acme:site": {"pull artifactstores/acme/mirror"},
	}
	s.Client = fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithInterceptorFuncs(interceptor.Funcs{Create: s.create}).
		WithIndex(&v1alpha1.ArtifactStore{}, storeByPrefix, prefixes).WithIndex(&v1alpha1.ArtifactManifest{}, manifestByRepository, repositories).Build()
	return s
}

// create answers a review.
func (s *server) create(ctx context.Context, _ client.WithWatch, o client.Object, _ ...client.CreateOption) error {
	s.count(1)
	defer s.count(-1)
	if s.mayProceed != nil {
		select {
		case s.waitFor <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		select {
		case <-s.mayProceed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if s.hang.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	switch o := o.(type) {
	case *authenticationv1.TokenReview:
		s.tokens.Add(1)
		if s.down.Load() {
			return errors.New("dial tcp 10.0.0.1:443: connection refused")
		}
		if !slices.Equal(o.Spec.Audiences, []string{Audience}) {
			return errors.New("another audience is asked for")
		}
		o.Status = s.users[o.Spec.Token]
	case *authorizationv1.SubjectAccessReview:
		s.accesses.Add(1)
		if s.down.Load() {
			return errors.New("dial tcp 10.0.0.1:443: connection refused")
		}
		a := o.Spec.ResourceAttributes
		right := a.Verb + " " + a.Resource + "/" + a.Namespace + "/" + a.Name
		o.Status.Allowed = a.Group == v1alpha1.GroupVersion.Group && o.Spec.UID == "uid of "+o.Spec.User && slices.Contains(s.rights[o.Spec.User], right)
	}
	return nil
}

func (s *server) count(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asking += n
	s.mostAtOnce = max(s.mostAtOnce, s.asking)
}

func (s *server) controller(change ...func(*Options)) *Controller {
	o := Options{Reviews: s.Client, Objects: s.Client, Operators: []string{operator}, Clock: s.clock}
	for _, c := range change {
		c(&o)
	}
	return New(o)
}

// store returns a store in the cluster registry. ready is the reason of its condition Ready, or "" for none.
func store(name, prefix, ready string) *v1alpha1.ArtifactStore {
	s := &v1alpha1.ArtifactStore{ObjectMeta: metav1.ObjectMeta{Namespace: "acme", Name: name, UID: types.UID(name)}}
	s.Spec.Registry.ClusterRegistry = &v1alpha1.ClusterRegistrySpec{Prefix: prefix}
	if ready != "" {
		s.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Reason: ready, Message: "This store is " + name + "."}}
	}
	return s
}

// manifest returns a manifest that lists artifacts, given as name:version.
func manifest(name, store string, change func(*v1alpha1.ArtifactManifest), artifacts ...string) *v1alpha1.ArtifactManifest {
	m := &v1alpha1.ArtifactManifest{ObjectMeta: metav1.ObjectMeta{Namespace: "acme", Name: name}}
	m.Spec.ArtifactStoreRef.Name, m.Spec.UploadPath = store, v1alpha1.ManifestScoped
	for _, a := range artifacts {
		artifact, version, _ := strings.Cut(a, ":")
		m.Spec.Artifacts = append(m.Spec.Artifacts, v1alpha1.ManifestArtifact{ArtifactName: artifact, ArtifactVersion: version})
	}
	if change != nil {
		change(m)
	}
	return m
}

func objects() []client.Object {
	elsewhere := store("elsewhere", "", "Ready")
	elsewhere.Spec.Registry = v1alpha1.RegistrySpec{URL: "https://registry.example.com/acme"}
	mirror := store(v1alpha1.MirrorName, v1alpha1.MirrorPrefix, "Ready")
	mirror.Spec.Mirror = &v1alpha1.MirrorSpec{}
	return []client.Object{
		store("acme", "", "Ready"), mirror, elsewhere, store("pending", "acme-pending", ""), store("winner", "shared", "Ready"), store("loser", "shared/part", v1alpha1.ReasonPathConflict),
		store("above", "closed", v1alpha1.ReasonPlaceRefused), store("below", "closed/part", v1alpha1.ReasonPathConflict),
		manifest("cnf", "acme", nil, "upf:1.0.0", "upf:1.0.1", "smf:2"),
		manifest("sealed", "acme", func(m *v1alpha1.ArtifactManifest) { m.Spec.ArtifactManifestState = v1alpha1.ManifestUploaded }, "upf:1"),
		manifest("leaving", "acme", func(m *v1alpha1.ArtifactManifest) {
			m.DeletionTimestamp, m.Finalizers = new(metav1.Unix(1_700_000_000, 0)), []string{"nfo.dev/protect"}
		}, "upf:1"),
		manifest("old", "acme", func(m *v1alpha1.ArtifactManifest) { m.Spec.UploadPath = v1alpha1.StoreScoped }, "lib/common:3"),
		manifest("others", "acme", func(m *v1alpha1.ArtifactManifest) { m.Spec.UploadPath = v1alpha1.StoreScoped }, "lib/common:4"),
		manifest("moved", "acme", func(m *v1alpha1.ArtifactManifest) {
			m.Status.UpgradingFrom = v1alpha1.StoreScoped
			m.Status.Artifacts = []v1alpha1.ArtifactStatus{{ArtifactName: "flat", ArtifactVersion: "1"}, {ArtifactName: "removed", ArtifactVersion: "1"}}
		}, "flat:1"),
		manifest("broken", "acme", func(m *v1alpha1.ArtifactManifest) {
			m.Spec.ArtifactManifestState, m.Generation = v1alpha1.ManifestUploaded, 2
			m.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionUploaded, ObservedGeneration: 2}}
			for i, of := range []string{sealedManifest, "something else", "something else"} {
				state := v1alpha1.ArtifactMissing
				if i == 2 {
					state = v1alpha1.ArtifactPresent
				}
				m.Status.Artifacts = append(m.Status.Artifacts, v1alpha1.ArtifactStatus{
					ArtifactName: "upf", ArtifactVersion: fmt.Sprint(i + 1), Repository: "acme/broken/upf", Digest: digest.FromString(of).String(), State: state,
				})
			}
		}, "upf:1", "upf:2", "upf:3", "smf:1"),
		manifest("sealing", "acme", func(m *v1alpha1.ArtifactManifest) {
			m.Spec.ArtifactManifestState, m.Generation = v1alpha1.ManifestUploaded, 2
			m.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionUploaded, ObservedGeneration: 1}}
			m.Status.Artifacts = []v1alpha1.ArtifactStatus{{ArtifactName: "upf", ArtifactVersion: "1", Repository: "acme/sealing/upf", Digest: digest.FromString(sealedManifest).String(), State: v1alpha1.ArtifactMissing}}
		}, "upf:1"),
		manifest("pending", "pending", nil, "upf:1"), manifest("loser", "loser", nil, "upf:1"), manifest("url", "elsewhere", nil, "upf:1"),
	}
}

// registry is distribution's app with the controller, and a client of it.
type registry struct {
	http.Handler
	t testing.TB
}

var quiet = sync.OnceFunc(func() { logrus.SetOutput(io.Discard) })

func newRegistry(t testing.TB, c *Controller) *registry {
	t.Helper()
	quiet()
	section, err := c.Configuration()
	if err != nil {
		t.Fatal(err)
	}
	config := &configuration.Configuration{Auth: section, Storage: configuration.Storage{"inmemory": {}, "delete": {"enabled": true}, "maintenance": {"uploadpurging": map[any]any{"enabled": false}}}}
	config.HTTP.Secret, config.Catalog.MaxEntries = "for uploads in tests", 100
	return &registry{Handler(handlers.NewApp(t.Context(), config)), t}
}

// agent returns a function that gives a request the connection of an agent.
// With verified false, no certificate authority has signed the certificate.
func agent(verified bool, subject pkix.Name) func(*http.Request) {
	return func(r *http.Request) {
		cert := &x509.Certificate{Subject: subject}
		r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}}
		if verified {
			r.TLS.VerifiedChains = [][]*x509.Certificate{{cert}}
		}
	}
}

var agentSubject = pkix.Name{CommonName: AgentName, Organization: []string{AgentOrganization}}

// ask sends a request, given as "METHOD path", with a token unless it is "".
// It returns the answer, and its error code and message or else its body.
func (r *registry) ask(token, request, body string, change ...func(*http.Request)) (*http.Response, string) {
	r.t.Helper()
	method, path, _ := strings.Cut(request, " ")
	req := httptest.NewRequestWithContext(r.t.Context(), method, "/v2/"+path, strings.NewReader(body))
	if token != "" {
		req.SetBasicAuth("anybody", token)
	}
	for _, c := range change {
		c(req)
	}
	w := httptest.NewRecorder()
	r.ServeHTTP(w, req)
	resp := w.Result()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	var says struct {
		Errors []struct{ Code, Message string }
	}
	if json.Unmarshal(data, &says) == nil && len(says.Errors) > 0 {
		return resp, says.Errors[0].Code + " " + says.Errors[0].Message
	}
	return resp, string(data)
}

// push uploads a blob and returns its digest.
func (r *registry) push(token, repository, content string) string {
	r.t.Helper()
	d := digest.FromString(content).String()
	resp, says := r.ask(token, "POST "+repository+"/blobs/uploads/?digest="+d, content)
	if at := resp.Header.Get("Location"); resp.StatusCode == http.StatusAccepted {
		_, query, _ := strings.Cut(at, "/v2/")
		resp, says = r.ask(token, "PUT "+query+"&digest="+d, content)
	}
	if resp.StatusCode != http.StatusCreated {
		r.t.Fatalf("pushing a blob to %s: %d %s", repository, resp.StatusCode, says)
	}
	return d
}

package access

import (
	"crypto/x509/pkix"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/distribution/distribution/v3/registry/auth"
	"github.com/opencontainers/go-digest"
)

const (
	satellite = "sha256-" + "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" + ".sig"
	someone   = "sha256:" + "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
)

// admitted reports whether a status is an answer of the app itself,
// which may or may not have found what the request asks for.
func admitted(status int) bool {
	return status != http.StatusUnauthorized && status != http.StatusForbidden && status != http.StatusServiceUnavailable
}

func TestR4WhoMayDoWhat(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, newServer(t, objects()...).controller())
	tests := map[string]struct {
		reason, token, request string
		as                     func(*http.Request)
		status                 int      // 0: admitted
		says                   []string // parts of the message
	}{
		"Anonymous":    {"without credentials the client is asked for them", "", "GET ", nil, 401, []string{"UNAUTHORIZED", "kubectl create token", "--audience nfo-registry"}},
		"Login":        {"`docker login` asks for the base alone", "ci", "GET ", nil, 200, nil},
		"Bearer":       {"a Bearer token counts as a password does", "", "GET ", func(r *http.Request) { r.Header.Set("Authorization", "bearer ci") }, 200, nil},
		"OtherScheme":  {"no token in it", "", "GET ", func(r *http.Request) { r.Header.Set("Authorization", "Digest ci") }, 401, []string{"no token was sent"}},
		"WrongToken":   {"nobody's token", "nonsense", "GET ", nil, 401, []string{"does not accept the token"}},
		"LongToken":    {"the API server is not asked about what is not a token", strings.Repeat("x", maxToken+1), "GET ", nil, 401, []string{"more than 16384 bytes"}},
		"Expired":      {"the API server says so", "expired", "GET ", nil, 401, []string{"has expired", "kubectl create token"}},
		"OtherAudien.": {"a token for the API server itself was stolen from, or meant for, something else", "elsewhere", "GET ", nil, 401, []string{"for another audience", "--audience nfo-registry"}},
		"Deleted":      {"an account that is gone has no rights, though its token has not expired", "deleted", "GET ", nil, 401, []string{"not found"}},
		"Unconfirmed":  {"a user that is named counts only if it is authenticated", "sneaky", "GET ", nil, 401, nil},
		"NoName":       {"an answer that cannot be understood is not an identity", "nobody", "GET ", nil, 503, nil},

		"Push":           {"verb, list and state are right", "ci", "PUT acme/cnf/upf/manifests/1.0.0", nil, 0, nil},
		"PushDigest":     {"an index's parts are pushed by digest", "ci", "PUT acme/cnf/upf/manifests/" + someone, nil, 0, nil},
		"PushBlob":       {"and layers", "ci", "POST acme/cnf/upf/blobs/uploads/", nil, 202, nil},
		"PushSatellite":  {"signatures have tags that no list has", "ci", "PUT acme/cnf/upf/manifests/" + satellite, nil, 0, nil},
		"PushImpliesPul": {"a client looks before it pushes", "ci", "HEAD acme/cnf/upf/manifests/1.0.0", nil, 404, nil},
		"PullVerb":       {"pull is not push", "reader", "PUT acme/cnf/upf/manifests/1.0.0", nil, 403, []string{"DENIED", `"push" on artifactmanifests/acme/cnf`, "kubectl create rolebinding", "-n acme", "--serviceaccount=edge:reader"}},
		"PullVerbBlob":   {"nor for a layer", "reader", "POST acme/cnf/upf/blobs/uploads/", nil, 403, []string{`"push"`}},
		"LookBlob":       {"a client that looks before it pushes goes on, and reads why it may not", "intruder", "HEAD acme/cnf/upf/blobs/" + someone, nil, 404, nil},
		"LookManifest":   {"a client that pulls must not take it for missing", "intruder", "HEAD acme/cnf/upf/manifests/1.0.0", nil, 403, nil},
		"GetBlob":        {"nor a layer", "intruder", "GET acme/cnf/upf/blobs/" + someone, nil, 403, []string{`"pull"`}},
		"NoVerb":         {"a right on one manifest is not one on another", "reader", "GET acme/sealed/upf/manifests/1", nil, 403, []string{`"pull" on artifactmanifests/acme/sealed`}},
		"Pull":           {"the verb pull", "reader", "GET acme/cnf/smf/manifests/2", nil, 404, nil},
		"PullTags":       {"a list of tags is a pull", "reader", "GET acme/cnf/upf/tags/list", nil, 404, nil},
		"Tag":            {"a tag beside the list", "ci", "PUT acme/cnf/upf/manifests/1.0.2", nil, 403, []string{"acme/cnf lists the repository acme/cnf/upf with artifactVersion 1.0.0, 1.0.1, and not with 1.0.2", "spec.artifacts"}},
		"Repository":     {"a repository beside the list", "ci", "POST acme/cnf/amf/blobs/uploads/", nil, 403, []string{"no ArtifactManifest", "acme/cnf/amf", "artifactmanifests/acme/cnf"}},
		"Deeper":         {"a path below a listed one is another one", "ci", "POST acme/cnf/upf/more/blobs/uploads/", nil, 403, []string{"the ArtifactManifests of namespace acme"}},
		"NoManifest":     {"who may push to a manifest that does not exist learns that", "ci", "POST acme/absent/upf/blobs/uploads/", nil, 403, []string{"no ArtifactManifest"}},
		"NoOracle":       {"who may not learns nothing of it", "ci", "POST acme/secret/upf/blobs/uploads/", nil, 403, []string{`needs the verb "push" on artifactmanifests/acme/secret`}},
		"Sealed":         {"a sealed manifest takes nothing", "ci", "PUT acme/sealed/upf/manifests/1", nil, 403, []string{"acme/sealed is sealed", "new manifest for a new version"}},
		"SealedBlob":     {"no layers either", "ci", "POST acme/sealed/upf/blobs/uploads/", nil, 403, []string{"is sealed"}},
		"SealedPull":     {"it can be pulled", "ci", "GET acme/sealed/upf/manifests/1", nil, 404, nil},
		"Leaving":        {"what is pushed now would be released at once", "ci", "PUT acme/leaving/upf/manifests/1", nil, 403, []string{"is being deleted"}},
		"StoreScoped":    {"the old form has no manifest in its path", "ci", "PUT acme/lib/common/manifests/3", nil, 0, nil},
		"StoreScopedOth": {"a right on one manifest is not one on another in the same repository", "ci", "PUT acme/lib/common/manifests/4", nil, 403, []string{"acme/old lists the repository", "not with 4"}},
		"LeftEntry":      {"an entry that has left the list is about to be released", "ci", "POST acme/moved/removed/blobs/uploads/", nil, 403, []string{"no ArtifactManifest"}},
		"OldPath":        {"what moves is pushed to where it goes", "ci", "POST acme/flat/blobs/uploads/", nil, 403, []string{"no ArtifactManifest"}},
		"UpgradingPull":  {"what has not moved yet can be pulled from where it is", "reader", "GET acme/flat/manifests/1", nil, 403, []string{"artifactmanifests/acme/moved"}},
		"NoStore":        {"no store has the prefix", "ci", "POST edge/cnf/upf/blobs/uploads/", nil, 403, []string{"no ArtifactStore", "edge/cnf/upf"}},
		"OneSegment":     {"nor is there any for one segment", "ci", "POST upf/blobs/uploads/", nil, 403, []string{"no ArtifactStore"}},
		"URLStore":       {"a manifest of a store elsewhere lists nothing here", "ci", "POST acme/url/upf/blobs/uploads/", nil, 403, []string{"artifactmanifests/acme/url"}},
		"PendingStore":   {"whose the prefix is has not been judged yet", "ci", "POST acme-pending/pending/upf/blobs/uploads/", nil, 503, nil},
		"LosingStore":    {"a store in conflict has nothing: the other one's manifests count", "ci", "POST shared/part/loser/upf/blobs/uploads/", nil, 403, []string{"the ArtifactManifests of namespace acme"}},
		"ClosedStore":    {"the store that would have it says why it does nothing", "ci", "POST closed/part/shut/upf/blobs/uploads/", nil, 403, []string{"ArtifactStore acme/below: This store is below."}},

		"Delete":         {"publishers delete manifests, not digests", "ci", "DELETE acme/cnf/upf/manifests/1.0.0", nil, 403, []string{"only purges do"}},
		"Cancel":         {"who may push ends an upload that was begun", "ci", "DELETE acme/cnf/upf/blobs/uploads/0b0d9a7e-8a1c-4c83-a1ad-4a3d0b6c8a0e", nil, 404, nil},
		"CancelReader":   {"who may pull does not", "reader", "DELETE acme/cnf/upf/blobs/uploads/0b0d9a7e-8a1c-4c83-a1ad-4a3d0b6c8a0e", nil, 403, []string{`needs the verb "push"`}},
		"CancelAgent":    {"nor does a node", "", "DELETE acme/cnf/upf/blobs/uploads/0b0d9a7e-8a1c-4c83-a1ad-4a3d0b6c8a0e", agent(true, agentSubject), 401, nil},
		"CancelSealed":   {"what takes no push has none to end", "ci", "DELETE acme/sealed/upf/blobs/uploads/0b0d9a7e-8a1c-4c83-a1ad-4a3d0b6c8a0e", nil, 403, []string{"is sealed"}},
		"CancelMirror":   {"an upload into the mirror", "loader", "DELETE mirror.nfo.dev/r.example/acme/upf/blobs/uploads/0b0d9a7e-8a1c-4c83-a1ad-4a3d0b6c8a0e", nil, 404, nil},
		"DeleteBlob":     {"publishers delete no blobs", "ci", "DELETE acme/cnf/upf/blobs/" + someone, nil, 403, []string{"only purges do"}},
		"DeletePurge":    {"the store's own purge deletes", "purge", "DELETE acme/cnf/upf/manifests/" + someone, nil, 0, nil},
		"PurgePulls":     {"it reads whatever is in the store, listed or not", "purge", "GET acme/gone/upf/tags/list", nil, 404, nil},
		"PurgeElsewhere": {"and nothing of other stores", "purge", "DELETE shared/m/upf/manifests/" + someone, nil, 403, nil},
		"PurgeByName":    {"an account that is only called like one has no right", "intruder", "DELETE acme/cnf/upf/manifests/" + someone, nil, 403, nil},
		"Operator":       {"a restore puts tags back in sealed manifests", "operator", "PUT acme/sealed/upf/manifests/1", nil, 0, nil},
		"OperatorDelete": {"a release removes tags", "operator", "DELETE acme/sealed/upf/manifests/1", nil, 0, nil},
		"Catalog":        {"the names of all repositories are the operator's to know", "ci", "GET _catalog", nil, 403, []string{"list all repositories"}},
		"OperatorList":   {"who may", "operator", "GET _catalog", nil, 200, nil},
		"MirrorList":     {"the mirror's purge looks for what no Artifact names any more", "mirror-purge", "GET _catalog", nil, 200, nil},
		"MirrorListOth":  {"only the account itself", "mirror-intruder", "GET _catalog", nil, 403, []string{"list all repositories"}},
		"PurgeList":      {"other purges know the repositories of their store", "purge", "GET _catalog", nil, 403, []string{"list all repositories"}},
		"MirrorPurge":    {"it deletes in the mirror", "mirror-purge", "DELETE mirror.nfo.dev/r.example/acme/upf/manifests/" + someone, nil, 0, nil},
		"MirrorPurgeOth": {"and nowhere else", "mirror-purge", "DELETE acme/cnf/upf/manifests/" + someone, nil, 403, nil},

		"MirrorPush":     {"who may fill the mirror does so without a manifest", "loader", "PUT mirror.nfo.dev/r.example/acme/upf/manifests/1", nil, 0, nil},
		"MirrorBlob":     {"layers too, of a registry with a port", "loader", "POST mirror.nfo.dev/r.example_5000/acme/upf/blobs/uploads/", nil, 202, nil},
		"MirrorSigned":   {"and signatures", "loader", "PUT mirror.nfo.dev/r.example/acme/upf/manifests/sha256-" + strings.Repeat("0", 64) + ".sig", nil, 0, nil},
		"MirrorPull":     {"it checks what it pushed", "loader", "GET mirror.nfo.dev/r.example/acme/upf/manifests/1", nil, 404, nil},
		"MirrorDelete":   {"it deletes nothing", "loader", "DELETE mirror.nfo.dev/r.example/acme/upf/manifests/" + someone, nil, 403, []string{"only purges do"}},
		"MirrorNoImage":  {"no node would ask for this name", "loader", "POST mirror.nfo.dev/upf/blobs/uploads/", nil, 403, []string{"no image is at mirror.nfo.dev/upf"}},
		"MirrorHub":      {"nor for this: Docker Hub's own have library before them", "loader", "POST mirror.nfo.dev/docker.io/nginx/blobs/uploads/", nil, 403, []string{"docker.io/library/"}},
		"MirrorElse":     {"the right ends where the mirror does", "loader", "POST acme/cnf/upf/blobs/uploads/", nil, 403, []string{"artifactmanifests/acme/cnf"}},
		"MirrorRead":     {"who may export it pulls", "site", "GET mirror.nfo.dev/r.example/acme/upf/manifests/1", nil, 404, nil},
		"MirrorReadPush": {"and does not push", "site", "PUT mirror.nfo.dev/r.example/acme/upf/manifests/1", nil, 403, []string{`needs the verb "push" on artifactstores/acme/mirror`, "--clusterrole=nfo-mirror-publisher --serviceaccount=acme:site"}},
		"MirrorPublish":  {"a right on manifests is not one on the mirror", "ci", "PUT mirror.nfo.dev/r.example/acme/upf/manifests/1", nil, 403, []string{`needs the verb "push" on artifactstores/acme/mirror`}},
		"MirrorStranger": {"nor may others pull all that namespaces use", "reader", "GET mirror.nfo.dev/r.example/acme/upf/manifests/1", nil, 403, []string{`needs the verb "pull" on artifactstores/acme/mirror`}},
		"NotTheMirror":   {"a right on another store is of no use in it", "anywhere", "POST shared/r.example/upf/blobs/uploads/", nil, 403, []string{"artifactmanifests/acme/r.example"}},

		"Agent":           {"a node pulls for all its pods", "", "GET acme/sealed/upf/manifests/1", agent(true, agentSubject), 404, nil},
		"AgentBase":       {"and looks whether the registry is there", "", "GET ", agent(true, agentSubject), 200, nil},
		"AgentPush":       {"it does not push", "", "PUT acme/cnf/upf/manifests/1.0.0", agent(true, agentSubject), 401, nil},
		"AgentDelete":     {"nor delete", "", "DELETE acme/cnf/upf/manifests/1.0.0", agent(true, agentSubject), 401, nil},
		"AgentCatalog":    {"nor list", "", "GET _catalog", agent(true, agentSubject), 401, nil},
		"AgentUnverified": {"anybody can write a name into a certificate", "", "GET acme/cnf/upf/manifests/1", agent(false, agentSubject), 401, nil},
		"AgentOther":      {"a certificate for something else", "", "GET acme/cnf/upf/manifests/1", agent(true, pkix.Name{CommonName: AgentName}), 401, nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tc.as == nil {
				tc.as = func(*http.Request) {}
			}
			resp, says := r.ask(tc.token, tc.request, "{}", tc.as)
			if tc.status == 0 && !admitted(resp.StatusCode) || tc.status != 0 && resp.StatusCode != tc.status {
				t.Errorf("%s: the answer is %d %s, want %d", tc.reason, resp.StatusCode, says, tc.status)
			}
			for _, part := range tc.says {
				if !strings.Contains(says, part) {
					t.Errorf("%s: the answer says %q, without %q", tc.reason, says, part)
				}
			}
			if warning := resp.Header.Get("Warning"); resp.StatusCode == 403 && !strings.HasPrefix(warning, `299 - "`) {
				t.Errorf("%s: %d with the warning %q", tc.reason, resp.StatusCode, warning)
			}
			if challenge := resp.Header.Get("WWW-Authenticate"); (challenge == `Basic realm="nfo registry"`) != (resp.StatusCode == 401) {
				t.Errorf("%s: %d with the challenge %q", tc.reason, resp.StatusCode, challenge)
			}
			if again := resp.Header.Get("Retry-After"); (again == "2") != (resp.StatusCode == 503) {
				t.Errorf("%s: %d with Retry-After %q", tc.reason, resp.StatusCode, again)
			}
		})
	}
}

// All tokens of a user, and all ServiceAccounts of a namespace, must share one limit of requests.
func TestClientsAreUsersAndNamespaces(t *testing.T) {
	t.Parallel()
	s := newServer(t, objects()...)
	s.users["ci again"], s.users["jane"] = user(ci, Audience), user("jane", Audience)
	c := s.controller()
	for _, tt := range []struct{ reason, token, want string }{
		{"an account stands for its namespace", "ci", "system:serviceaccount:acme"},
		{"so does another token of it", "ci again", "system:serviceaccount:acme"},
		{"and another account", "purge", "system:serviceaccount:acme"},
		{"another namespace", "reader", "system:serviceaccount:edge"},
		{"a person", "jane", "jane"},
		{"no token", "", ""},
		{"nobody's token", "nonsense", ""},
		{"a token for somebody else", "elsewhere", ""},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v2/", nil)
			if tt.token != "" {
				r.SetBasicAuth("x", tt.token)
			}
			if got := c.Client(r); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
	s.down.Store(true)
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v2/", nil)
	r.SetBasicAuth("x", "another")
	if got := c.Client(r); got != "" {
		t.Errorf("without the API server it is %q", got)
	}
}

// A user who may push must be able to cancel an upload, which is then missing.
func TestUploadsAreCancelled(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, newServer(t, objects()...).controller())
	resp, says := r.ask("ci", "POST acme/cnf/upf/blobs/uploads/", "")
	_, upload, _ := strings.Cut(resp.Header.Get("Location"), "/v2/")
	if resp.StatusCode != http.StatusAccepted || upload == "" {
		t.Fatal(resp.StatusCode, says)
	}
	for _, want := range []int{http.StatusNoContent, http.StatusNotFound} { // the second request finds no upload
		if resp, says := r.ask("ci", "DELETE "+upload, ""); resp.StatusCode != want {
			t.Errorf("the answer is %d %s, want %d", resp.StatusCode, says, want)
		}
	}
}

// An action that only a later version of distribution knows must be refused.
func TestAnUnknownActionIsRefused(t *testing.T) {
	t.Parallel()
	c := newServer(t, objects()...).controller()
	for _, a := range []auth.Access{
		{Resource: auth.Resource{Type: "repository", Name: "acme/cnf/upf"}, Action: "rename"},
		{Resource: auth.Resource{Type: "repository", Name: "acme/cnf/upf"}, Action: "*"},
		{Resource: auth.Resource{Type: "volume", Name: "acme/cnf/upf"}, Action: "pull"},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v2/acme/cnf/upf/manifests/1.0.0", nil)
		r.SetBasicAuth("anybody", "ci")
		if _, err := c.Authorized(r, a); err == nil {
			t.Errorf("%+v is admitted", a)
		}
	}
}

// A name that leads to another repository must be refused to everyone, even to clients that may pull everything.
func TestANameThatIsAPathIsRefused(t *testing.T) {
	t.Parallel()
	c := newServer(t, objects()...).controller(func(o *Options) { o.AnonymousPull = true })
	for _, name := range []string{"acme/cnf/upf/../../../foreign/upf", "acme/cnf/upf/..", "../acme/cnf/upf", "acme//cnf", "/acme/cnf/upf", "acme/cnf/upf/", strings.Repeat("a", 256)} {
		for reason, as := range map[string]func(*http.Request){
			"a publisher": func(r *http.Request) { r.SetBasicAuth("anybody", "ci") },
			"an operator": func(r *http.Request) { r.SetBasicAuth("anybody", "operator") },
			"an agent":    agent(true, agentSubject),
			"anybody":     func(*http.Request) {},
		} {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v2/", nil)
			as(r)
			pull := auth.Access{Resource: auth.Resource{Type: "repository", Name: name}, Action: "pull"}
			if _, err := c.Authorized(r, pull); err == nil {
				t.Errorf("%s may pull %.100s", reason, name)
			}
		}
	}
}

func TestAnonymousPull(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, newServer(t, objects()...).controller(func(o *Options) { o.AnonymousPull = true }))
	for name, tc := range map[string]struct {
		reason, token, request string
		status                 int
	}{
		"Pull":       {"the option lets everybody pull", "", "GET acme/cnf/upf/manifests/1.0.0", 404},
		"Base":       {"a client must be able to check its login", "", "GET ", 401},
		"Push":       {"it does not let anybody push", "", "POST acme/cnf/upf/blobs/uploads/", 401},
		"Catalog":    {"nor list", "", "GET _catalog", 401},
		"WrongToken": {"wrong credentials are reported", "nonsense", "GET acme/cnf/upf/manifests/1.0.0", 401},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if resp, says := r.ask(tc.token, tc.request, "{}"); resp.StatusCode != tc.status {
				t.Errorf("%s: the answer is %d %s, want %d", tc.reason, resp.StatusCode, says, tc.status)
			}
		})
	}
}

// Only a client that may pull from a repository may mount a layer from it. Other clients must upload the layer.
func TestMount(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, newServer(t, objects()...).controller())
	d := r.push("ci", "acme/cnf/upf", "layer")
	r.push("operator", "acme/foreign/upf", "layer")
	for name, tc := range map[string]struct {
		reason, from string
		status       int
	}{
		"Own":     {"the verb push on it is enough", "acme/cnf/upf", 201},
		"Foreign": {"what nobody may pull is not there", "acme/foreign/upf", 202},
		"NoStore": {"nor what is nobody's", "nowhere", 202},
	} {
		t.Run(name, func(t *testing.T) {
			if resp, says := r.ask("ci", "POST acme/cnf/smf/blobs/uploads/?mount="+d+"&from="+tc.from, ""); resp.StatusCode != tc.status {
				t.Errorf("%s: the answer is %d %s, want %d", tc.reason, resp.StatusCode, says, tc.status)
			}
		})
	}
}

// Only a sealed artifact that is missing may be pushed again, byte for byte.
func TestADamagedArtifactIsPushedAgain(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, newServer(t, objects()...).controller())
	asManifest := func(r *http.Request) { r.Header.Set("Content-Type", "application/vnd.oci.image.manifest.v1+json") }
	if d := r.push("ci", "acme/broken/upf", "{}"); d == "" {
		t.Fatal("a layer is refused")
	}
	other := strings.Replace(sealedManifest, `"layers":[]`, `"layers":[],"annotations":{"a":"b"}`, 1)
	for _, tc := range []struct {
		reason, request, body string
		status                int
		says                  string
	}{
		{"other contents at a sealed tag", "PUT acme/broken/upf/manifests/1", other, 403, "is sealed (artifactManifestState Uploaded) with acme/broken/upf:1 at sha256:"},
		{"no manifest has as many bytes", "PUT acme/broken/upf/manifests/1", strings.Repeat(" ", maxManifest+1), 403, "more than 4194304 bytes"},
		{"a part of an index is what its digest says", "PUT acme/broken/upf/manifests/" + digest.FromString(other).String(), other, 201, ""},
		{"what was sealed, and the app reads all of it", "PUT acme/broken/upf/manifests/1", sealedManifest, 201, ""},
		{"another tag that is missing was sealed at something else", "PUT acme/broken/upf/manifests/2", sealedManifest, 403, "is sealed"},
		{"a tag that is there", "PUT acme/broken/upf/manifests/3", sealedManifest, 403, "acme/broken/upf:3 is not missing"},
		{"a tag beside the list", "PUT acme/broken/upf/manifests/4", sealedManifest, 403, "acme/broken/upf:4 is not missing"},
		{"what was never seen was not sealed", "POST acme/broken/smf/blobs/uploads/", "", 403, "is sealed"},
		{"what is sealed is not settled yet", "PUT acme/sealing/upf/manifests/1", sealedManifest, 403, "is sealed"},
	} {
		if resp, says := r.ask("ci", tc.request, tc.body, asManifest); resp.StatusCode != tc.status || !strings.Contains(says, tc.says) {
			t.Errorf("%s: the answer is %d %.200s, want %d %q", tc.reason, resp.StatusCode, says, tc.status, tc.says)
		}
	}
}

package access

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/distribution/distribution/v3/registry/api/errcode"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/backend"
	"github.com/nfo-operator/nfo/internal/graph"
	"github.com/nfo-operator/nfo/internal/purge/cronjob"
)

const (
	resourceManifests = "artifactmanifests"
	resourceStores    = "artifactstores"

	// realm is the text that clients show when they ask for a login.
	realm = "nfo registry"
	// retryAfter is the value of the header Retry-After if the registry cannot answer.
	retryAfter = badFor
	// maxReason bounds the text of others that a refusal repeats, in bytes.
	maxReason = 200
	// publisherRole is the ClusterRole with the verbs push and pull, in config/rbac/tenants.yaml.
	publisherRole = "nfo-publisher"
)

// Refusal says why a request is not admitted. It implements auth.Challenge of distribution.
type Refusal struct {
	// Status is 401, 403 or 503. It is 404 instead of 403 for a HEAD of a blob.
	Status int
	// Text says what is missing and how to get it. It is sent to the client.
	Text string
	// cause is only logged. It may be nil.
	cause error
}

// Error returns the text and the cause, for the log.
func (r *Refusal) Error() string {
	if r.cause != nil {
		return r.Text + ": " + r.cause.Error()
	}
	return r.Text
}

// Unwrap returns the cause, or nil.
func (r *Refusal) Unwrap() error { return r.cause }

// asNotFound changes a 403 for a HEAD of a blob, which clients send before a push, into a 404. The answer to a HEAD has no
// body, and a client that gets a 403 does not continue to the request whose answer says why. A client without a right
// still gets no blob, as if the blob were missing.
func (r *Refusal) asNotFound(request *http.Request) *Refusal {
	if r.Status != http.StatusForbidden || request.Method != http.MethodHead || !strings.Contains(request.URL.Path, "/blobs/") {
		return r
	}
	return &Refusal{Status: http.StatusNotFound, Text: r.Text, cause: r.cause}
}

// SetHeaders sets the headers of the answer. The header Warning is
// the only text that clients show for an answer without a body.
func (r *Refusal) SetHeaders(_ *http.Request, w http.ResponseWriter) {
	w.Header().Set("Warning", "299 - "+strconv.QuoteToASCII(r.Text))
	switch r.Status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", "Basic realm="+strconv.Quote(realm))
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", strconv.Itoa(int(retryAfter/time.Second)))
	}
}

// answer writes the refusal as the answer.
func (r *Refusal) answer(w http.ResponseWriter) {
	code := map[int]errcode.ErrorCode{
		http.StatusUnauthorized: errcode.ErrorCodeUnauthorized, http.StatusForbidden: errcode.ErrorCodeDenied,
		http.StatusNotFound: errcode.ErrorCodeBlobUnknown, http.StatusServiceUnavailable: errcode.ErrorCodeUnavailable,
	}[r.Status]
	r.SetHeaders(nil, w)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(r.Status)
	_ = json.NewEncoder(w).Encode(errcode.Errors{code.WithMessage(r.Text)}) // the client may be gone
}

func unauthorized(why *errToken) *Refusal {
	return &Refusal{Status: http.StatusUnauthorized, Text: why.why + ". Log in with any user name and a token as the password: kubectl create token <ServiceAccount> --audience " + Audience}
}

func denied(format string, args ...any) *Refusal {
	return &Refusal{Status: http.StatusForbidden, Text: fmt.Sprintf(format, args...)}
}

func unavailable(err error) *Refusal {
	text := "the registry cannot ask the API server who may do this; try again in a few seconds"
	if errors.Is(err, errBusy) {
		text = "the registry has too many questions to the API server; try again in a few seconds"
	}
	return &Refusal{Status: http.StatusServiceUnavailable, Text: text, cause: err}
}

// lacks refuses a user who needs a right, and says how an administrator grants it.
func lacks(who *identity, r right) *Refusal {
	on := "artifactmanifests/" + r.namespace + "/" + r.name
	if r.name == "" {
		on = "the ArtifactManifests of namespace " + r.namespace
	}
	return denied("user %q needs the verb %q on %s. An administrator of the namespace grants it with: kubectl create rolebinding <name> -n %s --clusterrole=%s %s",
		who.name, r.verb, on, r.namespace, publisherRole, subject(who))
}

// subject returns the kubectl option that names a user in a binding.
func subject(who *identity) string {
	if account, ok := strings.CutPrefix(who.name, accountPrefix); ok {
		return "--serviceaccount=" + account
	}
	return "--user=" + strconv.Quote(who.name)
}

// closedStore refuses pushes into a store that is inert.
func closedStore(p *place) *Refusal {
	why := backend.Inert(p.store)
	switch {
	case why == nil:
		return nil
	case why.Message == "":
		return &Refusal{Status: http.StatusServiceUnavailable, Text: fmt.Sprintf("the manager has not checked ArtifactStore %s/%s yet; try again in a few seconds", p.store.Namespace, p.store.Name)}
	}
	return denied("nothing can be pushed into ArtifactStore %s/%s: %s", p.store.Namespace, p.store.Name, why.Message)
}

// unlisted refuses a push into a repository that no manifest lists.
func unlisted(p *place) *Refusal {
	if name := p.names()[0]; name != "" {
		return denied("no ArtifactManifest of store %s/%s lists the repository %s: the artifactName must be an entry of spec.artifacts in artifactmanifests/%s/%s. Add it, then push again",
			p.store.Namespace, p.store.Name, p.repository, p.store.Namespace, name)
	}
	return denied("no ArtifactManifest of store %s/%s lists the repository %s: its name must be <store prefix>/<manifest>/<artifactName>. Create a manifest that lists it, then push again",
		p.store.Namespace, p.store.Name, p.repository)
}

// checkPush refuses a push that a manifest does not accept. The user has the right to push to the manifest.
func (p *place) checkPush(m *v1alpha1.ArtifactManifest, w want, r *http.Request) *Refusal {
	on, tags := m.Namespace+"/"+m.Name, p.tags(m)
	tag := w.tag()
	switch _, satellite := graph.SatelliteOf(tag); {
	case !m.DeletionTimestamp.IsZero():
		return denied("ArtifactManifest %s is being deleted. Apply it again once it is gone, then push", on)
	case len(tags) == 0:
		return unlisted(p)
	case m.Spec.ArtifactManifestState == v1alpha1.ManifestUploaded:
		return p.checkRepair(m, w, r)
	case w.putsManifest && w.tagOrDigest == "":
		return denied("the request names neither a tag nor a digest")
	case tag == "" || satellite || slices.Contains(tags, tag):
		return nil
	}
	return denied("ArtifactManifest %s lists the repository %s with artifactVersion %s, and not with %s. Add an entry with artifactVersion %s to spec.artifacts, then push again",
		on, p.repository, v1alpha1.FirstOf(tags, maxTags), tag, tag)
}

// maxTags is the maximum number of tags in a refusal.
const maxTags = 5

// purger returns the user name of the ServiceAccount that purges a store.
func purger(s *v1alpha1.ArtifactStore) string {
	return accountPrefix + s.Namespace + ":" + cronjob.ObjectName(s.Name)
}

package access

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

const (
	// Audience is the audience that clients' tokens must have.
	Audience = v1alpha1.ClusterRegistryAudience
	// AgentOrganization is the organization in the client certificates of the agents on nodes.
	AgentOrganization = "nfo.dev"
	// AgentName is the common name in these certificates.
	AgentName = "nfo-agent"

	// maxToken is the maximum length of a token in bytes. The API server is not asked about longer tokens.
	maxToken = 16 << 10
	// accountPrefix is the prefix of the user names of ServiceAccounts.
	accountPrefix = "system:serviceaccount:"
)

// +kubebuilder:rbac:groups=authentication.k8s.io,resources=tokenreviews,verbs=create
// +kubebuilder:rbac:groups=authorization.k8s.io,resources=subjectaccessreviews,verbs=create

// identity is a Kubernetes user. Identities with the same sum have the same rights.
type identity struct {
	name, uid string
	groups    []string
	extra     map[string]authorizationv1.ExtraValue
	sum       [sha256.Size]byte
}

// errToken means that the API server does not accept a token.
type errToken struct{ why string }

func (e *errToken) Error() string { return e.why }

// IsAgent reports whether a request comes over a connection with a verified client certificate of a node's agent.
func IsAgent(r *http.Request) bool {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 || len(r.TLS.PeerCertificates) == 0 {
		return false
	}
	subject := r.TLS.PeerCertificates[0].Subject
	return subject.CommonName == AgentName && slices.Contains(subject.Organization, AgentOrganization)
}

// TokenOf returns the token of a request: the password of Basic authentication, whatever the user name, or a Bearer
// token. sent is false if the request has no credentials. token is "" if the credentials contain no token.
func TokenOf(r *http.Request) (token string, sent bool) {
	header := r.Header.Get("Authorization")
	if header == "" {
		return "", false
	}
	if _, password, ok := r.BasicAuth(); ok {
		return password, true
	}
	scheme, rest, _ := strings.Cut(header, " ")
	if strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(rest), true
	}
	return "", true
}

// identify returns the user of a token. The error is an *errToken if
// the token is not valid. Other errors mean that this is unknown.
func (c *Controller) identify(r *http.Request, token string) (*identity, error) {
	switch {
	case token == "":
		return nil, &errToken{"no token was sent"}
	case len(token) > maxToken:
		return nil, &errToken{fmt.Sprintf("the token has more than %d bytes", maxToken)}
	}
	ctx, key := r.Context(), sha256.Sum256([]byte(token))
	if c.tokens.isNew(key) {
		waiting, cancel := context.WithTimeout(ctx, askLimit)
		defer cancel()
		leave, err := c.strangers.enter(waiting, AddressOf(r))
		if err != nil {
			return nil, err
		}
		defer leave()
		// A client that gives up keeps its turn until its question is answered.
		ctx = context.WithoutCancel(ctx)
	}
	return c.tokens.get(ctx, key, func(ctx context.Context) (*identity, bool, error) {
		who, err := c.review(ctx, token)
		return who, err == nil, err
	})
}

func (c *Controller) review(ctx context.Context, token string) (*identity, error) {
	review := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: []string{Audience}}}
	if err := c.o.Reviews.Create(ctx, review); err != nil {
		return nil, fmt.Errorf("asking whose token it is: %w", err)
	}
	status := review.Status
	switch {
	case !status.Authenticated && status.Error != "":
		return nil, &errToken{"the API server does not accept the token: " + v1alpha1.Clip(v1alpha1.Line(status.Error), maxReason)}
	case !status.Authenticated:
		return nil, &errToken{"the API server does not accept the token"}
	case !slices.Contains(status.Audiences, Audience):
		return nil, &errToken{"the token is for another audience"}
	}
	return newIdentity(status.User)
}

func newIdentity(u authenticationv1.UserInfo) (*identity, error) {
	if u.Username == "" {
		return nil, errors.New("asking whose token it is: the API server names no user")
	}
	text, err := json.Marshal(u)
	if err != nil {
		return nil, fmt.Errorf("encoding a user: %w", err)
	}
	who := &identity{name: u.Username, uid: u.UID, groups: u.Groups, extra: map[string]authorizationv1.ExtraValue{}, sum: sha256.Sum256(text)}
	for key, values := range u.Extra {
		who.extra[key] = authorizationv1.ExtraValue(values)
	}
	return who, nil
}

// Client returns the name that shares one limit of requests: a user, or the namespace of a ServiceAccount, because
// users of a namespace can create any number of accounts and tokens in it. It is "" for a request without a token that
// the API server accepts, and if that is unknown.
func (c *Controller) Client(r *http.Request) string {
	token, sent := TokenOf(r)
	if !sent {
		return ""
	}
	who, err := c.identify(r, token)
	if err != nil {
		return ""
	}
	account, isAccount := strings.CutPrefix(who.name, accountPrefix)
	if !isAccount {
		return who.name
	}
	namespace, _, _ := strings.Cut(account, ":")
	return accountPrefix + namespace
}

// right is a verb on an object of nfo.
type right struct{ verb, resource, namespace, name string }

// String returns the right as text for refusals.
func (r right) String() string {
	return fmt.Sprintf("the verb %q on %s/%s/%s", r.verb, r.resource, r.namespace, r.name)
}

// rightQuestion is the key of a question about a right.
type rightQuestion struct {
	who [sha256.Size]byte
	right
}

// has reports whether a user has a right. Errors mean that this is unknown.
func (c *Controller) has(ctx context.Context, who *identity, r right) (bool, error) {
	return c.rights.get(ctx, rightQuestion{who.sum, r}, func(ctx context.Context) (bool, bool, error) {
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User: who.name, UID: who.uid, Groups: who.groups, Extra: who.extra,
			ResourceAttributes: &authorizationv1.ResourceAttributes{
				Group: v1alpha1.GroupVersion.Group, Version: v1alpha1.GroupVersion.Version,
				Verb: r.verb, Resource: r.resource, Namespace: r.namespace, Name: r.name,
			},
		}}
		if err := c.o.Reviews.Create(ctx, review); err != nil {
			return false, false, fmt.Errorf("asking whether %q has %s: %w", who.name, r, err)
		}
		return review.Status.Allowed, review.Status.Allowed, nil
	})
}

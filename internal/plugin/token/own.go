package token

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// ErrNotOwn is the error if the user's own credentials cannot be used at the registry.
var ErrNotOwn = errors.New("your own credentials cannot be used at the registry")

// Own returns the bearer token of the user of a kubeconfig, if the API server accepts it for the cluster's own registry.
// Errors wrap ErrNotOwn.
func Own(ctx context.Context, api client.Client, kube *rest.Config) (Token, error) {
	if kube.Impersonate.UserName != "" {
		return Token{}, fmt.Errorf("%w: --as acts for user %q, whose token you do not have", ErrNotOwn, kube.Impersonate.UserName)
	}
	secret, err := bearer(ctx, kube)
	if err != nil {
		return Token{}, fmt.Errorf("%w: %w", ErrNotOwn, err)
	}
	if secret == "" {
		return Token{}, fmt.Errorf("%w: your kubeconfig has no bearer token, only another kind of login such as a client certificate", ErrNotOwn)
	}
	review := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: secret, Audiences: []string{v1alpha1.ClusterRegistryAudience}}}
	err = api.Create(ctx, review)
	switch {
	case apierrors.IsForbidden(err):
		return Token{}, fmt.Errorf("%w: whether the API server accepts your token for the audience %s is unknown, because you may not create tokenreviews", ErrNotOwn, v1alpha1.ClusterRegistryAudience)
	case err != nil:
		return Token{}, fmt.Errorf("%w: reviewing your token: %w", ErrNotOwn, err)
	case !review.Status.Authenticated || !slices.Contains(review.Status.Audiences, v1alpha1.ClusterRegistryAudience):
		return Token{}, fmt.Errorf("%w: the API server does not accept your token for the audience %s", ErrNotOwn, v1alpha1.ClusterRegistryAudience)
	}
	return Token{Secret: secret, User: review.Status.User.Username, Until: expiryOf(secret)}, nil
}

// errCaptured is the error of a request that was captured instead of sent.
var errCaptured = errors.New("captured")

// capture keeps the login of a request, and sends nothing.
type capture struct{ header string }

// RoundTrip keeps the header Authorization, and fails.
func (c *capture) RoundTrip(r *http.Request) (*http.Response, error) {
	c.header = r.Header.Get("Authorization")
	return nil, errCaptured
}

// bearer returns the bearer token in requests to the API server,
// also one from a file or a credential plugin; "" if there is none.
func bearer(ctx context.Context, kube *rest.Config) (string, error) {
	c := &capture{}
	logsIn, err := rest.HTTPWrappersForConfig(rest.CopyConfig(kube), c)
	if err != nil {
		return "", fmt.Errorf("reading the login of your kubeconfig: %w", err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://api-server.invalid", nil) // not sent
	if err != nil {
		return "", fmt.Errorf("reading the login of your kubeconfig: %w", err)
	}
	resp, err := logsIn.RoundTrip(r)
	if resp != nil {
		_ = resp.Body.Close() // there is none
	}
	if !errors.Is(err, errCaptured) {
		return "", fmt.Errorf("reading the login of your kubeconfig: %w", err)
	}
	secret, _ := strings.CutPrefix(c.header, "Bearer ")
	if secret == c.header {
		return "", nil
	}
	return secret, nil
}

// expiryOf returns the expiry that a token contains, without verifying it; zero if the token contains none.
func expiryOf(secret string) time.Time {
	parts := strings.Split(secret, ".")
	if len(parts) != 3 {
		return time.Time{}
	}
	var claims struct {
		Exp int64 `json:"exp"`
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(text, &claims) != nil || claims.Exp <= 0 {
		return time.Time{}
	}
	return time.Unix(claims.Exp, 0)
}

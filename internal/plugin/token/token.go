package token

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

const (
	// DefaultDuration is the default lifetime of a token.
	DefaultDuration = time.Hour
	// MinDuration is the shortest lifetime that the API server accepts.
	MinDuration = 10 * time.Minute
	// MaxDuration is the longest lifetime that can be requested; API servers often grant less.
	MaxDuration = 365 * 24 * time.Hour
)

// accountPrefix begins the user names of ServiceAccounts.
const accountPrefix = "system:serviceaccount:"

// Token is a token that the registry accepts. Printing it does not show the secret.
type Token struct {
	Secret string
	// User is the user name of the token's owner.
	User string
	// Until is when the token expires; zero if that is unknown.
	Until time.Time
}

// String keeps the secret out of logs.
func (Token) String() string { return "[redacted]" }

// GoString keeps the secret out of %#v.
func (Token) GoString() string { return "[redacted]" }

// ParseAccount parses the name of a ServiceAccount: NAME in the given namespace, or NAMESPACE:NAME.
func ParseAccount(text, namespace string) (client.ObjectKey, error) {
	key := client.ObjectKey{Namespace: namespace, Name: text}
	if before, after, ok := strings.Cut(text, ":"); ok {
		key = client.ObjectKey{Namespace: before, Name: after}
	}
	if len(validation.IsDNS1123Label(key.Namespace)) > 0 || len(validation.IsDNS1123Subdomain(key.Name)) > 0 {
		return client.ObjectKey{}, fmt.Errorf("%q is not a ServiceAccount: it is written NAME or NAMESPACE:NAME", text)
	}
	return key, nil
}

// Request asks the API server for a token of a ServiceAccount for the cluster's own registry.
// The API server decides how long the token is valid. Errors say what the user can do.
func Request(ctx context.Context, api client.Client, account client.ObjectKey, duration time.Duration) (Token, error) {
	seconds := int64(duration / time.Second)
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: []string{v1alpha1.ClusterRegistryAudience}, ExpirationSeconds: &seconds}}
	err := api.SubResource("token").Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: account.Namespace, Name: account.Name}}, request)
	if err == nil && request.Status.Token == "" {
		err = errors.New("the API server has returned none")
	}
	if err != nil {
		return Token{}, fmt.Errorf("requesting a token of ServiceAccount %s/%s: %w%s", account.Namespace, account.Name, err, remedy(err, account))
	}
	return Token{Secret: request.Status.Token, User: accountPrefix + account.Namespace + ":" + account.Name, Until: request.Status.ExpirationTimestamp.Time}, nil
}

// remedy says what to do after a request for a token has failed.
func remedy(err error, account client.ObjectKey) string {
	switch {
	case apierrors.IsForbidden(err):
		return fmt.Sprintf(". You need the verb create on serviceaccounts/token. An administrator grants it with: kubectl create role %[1]s-token -n %[2]s --verb=create --resource=serviceaccounts/token --resource-name=%[1]s, and a RoleBinding of that Role to you", account.Name, account.Namespace)
	case apierrors.IsNotFound(err):
		return fmt.Sprintf(". Create it and let it push with: kubectl create serviceaccount %[1]s -n %[2]s && kubectl create rolebinding %[1]s-publishes -n %[2]s --clusterrole=nfo-publisher --serviceaccount=%[2]s:%[1]s", account.Name, account.Namespace)
	}
	return ""
}

// Renewed returns a function whose first call returns the secret of first, and each further call that of a
// new token. It is for work that takes longer than a token is valid. The function is safe for concurrent use.
func Renewed(first Token, request func(context.Context) (Token, error)) func(context.Context) (string, error) {
	var mu sync.Mutex
	next := first.Secret
	return func(ctx context.Context) (string, error) {
		mu.Lock()
		defer mu.Unlock()
		if secret := next; secret != "" {
			next = ""
			return secret, nil
		}
		t, err := request(ctx)
		return t.Secret, err
	}
}

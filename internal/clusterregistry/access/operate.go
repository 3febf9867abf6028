package access

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/backend"
	"github.com/nfo-operator/nfo/internal/purge/cronjob"
)

// Operator says what an operator or a purge may see and delete.
type Operator struct {
	// Everything is set for an operator, who may also see the names of all repositories.
	Everything bool
	// prefix is the prefix of the repositories of the purge's store. It is "" if the store has no repositories.
	prefix string
}

// May reports whether the operator or purge may see and delete what is in a repository.
func (o Operator) May(repository string) bool {
	return o.Everything || o.prefix != "" && (repository == o.prefix || strings.HasPrefix(repository, o.prefix+"/"))
}

// Operates decides whether a request may read the usage of the registry and request a
// collection. Operators may, and users with the verb purge on a store in this registry.
// store is the store's namespace/name, or "" for none. Errors are a *Refusal.
func (c *Controller) Operates(r *http.Request, store string) (Operator, error) {
	o, refusal := c.operates(r, store)
	if refusal != nil {
		noteRefusal(r, refusal)
		return Operator{}, refusal
	}
	return o, nil
}

func (c *Controller) operates(r *http.Request, store string) (Operator, *Refusal) {
	who, refusal := c.login(r)
	switch {
	case refusal != nil:
		return Operator{}, refusal
	case slices.Contains(c.o.Operators, who.name):
		return Operator{Everything: true}, nil
	case store == "":
		return Operator{}, denied("user %q may not see the usage of the registry or collect it: only the operator's own accounts may, and anyone who has the verb %q on a store in this registry. Name that store: ?store=NAMESPACE/NAME", who.name, verbPurge)
	}
	key, ok := storeKey(store)
	if !ok {
		return Operator{}, denied("the parameter store must be NAMESPACE/NAME of an ArtifactStore")
	}
	allowed, err := c.has(r.Context(), who, right{verbPurge, resourceStores, key.Namespace, key.Name})
	switch {
	case err != nil:
		return Operator{}, unavailable(err)
	case !allowed:
		return Operator{}, denied("user %q needs %s to see the usage of the registry or collect it. The store's purge account has it: kubectl create token %s -n %s --audience %s",
			who.name, right{verbPurge, resourceStores, key.Namespace, key.Name}, cronjob.ObjectName(key.Name), key.Namespace, Audience)
	}
	return c.ofStore(r, key)
}

// ofStore refuses a store that is not in this registry. It is called only for users with a right on the store. A store
// that is inert, for example because its prefix belongs to another store, has no repositories.
func (c *Controller) ofStore(r *http.Request, key client.ObjectKey) (Operator, *Refusal) {
	limited, cancel := context.WithTimeout(r.Context(), findLimit)
	defer cancel()
	var s v1alpha1.ArtifactStore
	err := c.o.Objects.Get(limited, key, &s, client.UnsafeDisableDeepCopy)
	switch {
	case apierrors.IsNotFound(err), err == nil && !s.InClusterRegistry():
		return Operator{}, denied("no ArtifactStore %s with spec.registry.clusterRegistry", key)
	case err != nil:
		return Operator{}, unavailable(fmt.Errorf("reading ArtifactStore %s: %w", key, err))
	}
	l, err := s.Location()
	if err != nil || backend.Inert(&s) != nil {
		return Operator{}, nil
	}
	return Operator{prefix: l.Prefix}, nil
}

// storeKey splits namespace/name. ok is false if no store can have this name.
func storeKey(store string) (key client.ObjectKey, ok bool) {
	key.Namespace, key.Name, _ = strings.Cut(store, "/")
	return key, len(validation.IsDNS1123Label(key.Namespace)) == 0 && len(validation.IsDNS1123Subdomain(key.Name)) == 0
}

// login returns the user of a request, by its token.
func (c *Controller) login(r *http.Request) (*identity, *Refusal) {
	token, sent := TokenOf(r)
	if !sent {
		return nil, unauthorized(&errToken{"authentication required"})
	}
	who, err := c.identify(r, token)
	if rejected := (*errToken)(nil); errors.As(err, &rejected) {
		return nil, unauthorized(rejected)
	}
	if err != nil {
		return nil, unavailable(err)
	}
	return who, nil
}

// noteRefusal stores a refusal for Handler.
func noteRefusal(r *http.Request, refusal *Refusal) {
	if at, ok := r.Context().Value(noteKey{}).(*note); ok {
		at.refusal = refusal
	}
}

package access

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/auth"
	"github.com/distribution/reference"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/backend"
)

// findLimit bounds how long a lookup waits for the cache, which blocks until it is filled.
const findLimit = 5 * time.Second

// Options configure a Controller.
type Options struct {
	// Reviews creates TokenReviews and SubjectAccessReviews.
	Reviews client.Writer
	// Objects reads stores and manifests, with the fields of Index.
	Objects client.Reader
	// Operators are the user names that may do everything: the operator's own ServiceAccounts, as
	// system:serviceaccount:<namespace>:<name>.
	Operators []string
	// AnonymousPull allows pulls of everything without credentials. Default: nothing is allowed without credentials.
	AnonymousPull bool
	// Clock defaults to the real clock.
	Clock clock.PassiveClock
}

// Controller is an access controller of distribution. It is safe for concurrent use.
type Controller struct {
	o         Options
	tokens    *answers[[sha256.Size]byte, *identity]
	strangers strangers
	rights    *answers[rightQuestion, bool]
}

// New creates a Controller with empty caches.
func New(o Options) *Controller {
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	return &Controller{
		o: o, tokens: newAnswers[[sha256.Size]byte, *identity](o.Clock), rights: newAnswers[rightQuestion, bool](o.Clock),
		strangers: newStrangers(),
	}
}

// kind is the name of the controller in distribution's configuration. option is the name of its only option.
const kind, option = "nfo", "controller"

var register = sync.OnceValue(func() error {
	return auth.Register(kind, func(options map[string]any) (auth.AccessController, error) {
		c, ok := options[option].(*Controller)
		if !ok {
			return nil, errors.New("the option " + option + " is missing")
		}
		return c, nil
	})
})

// Configuration returns the section "auth" of distribution's configuration. The app must be served through Handler.
func (c *Controller) Configuration() (configuration.Auth, error) {
	return configuration.Auth{kind: configuration.Parameters{option: c}}, register()
}

// Authorized decides whether a request may do what distribution says it does. Errors are a *Refusal.
func (c *Controller) Authorized(r *http.Request, access ...auth.Access) (*auth.Grant, error) {
	user, refusal := c.decide(r, access)
	if refusal != nil {
		refusal = refusal.asNotFound(r)
		noteRefusal(r, refusal)
		return nil, refusal
	}
	grant := &auth.Grant{User: auth.UserInfo{Name: user}}
	for _, a := range access {
		grant.Resources = append(grant.Resources, a.Resource)
	}
	return grant, nil
}

// decide returns the name of the user if the request is admitted.
func (c *Controller) decide(r *http.Request, access []auth.Access) (user string, refusal *Refusal) {
	wants, pulls := wanted(r, access)
	if refusal := misnamed(wants); refusal != nil {
		return "", refusal
	}
	_, sent := TokenOf(r)
	switch {
	case IsAgent(r) && pulls:
		return AgentName, nil
	case !sent && pulls && c.o.AnonymousPull && len(wants) > 0:
		return "", nil
	}
	who, refusal := c.login(r)
	if refusal != nil {
		return "", refusal
	}
	if slices.Contains(c.o.Operators, who.name) {
		return who.name, nil
	}
	for i, w := range wants {
		refusal := c.may(r, who, w)
		if refusal != nil && i > 0 && w.pullsOnly() && r.Method == http.MethodPost {
			withoutMount(r)
			continue
		}
		if refusal != nil {
			return "", refusal
		}
	}
	return who.name, nil
}

// misnamed refuses names that no repository can have: a name with dots would be a path to another repository.
func misnamed(wants []want) *Refusal {
	for _, w := range wants {
		if _, err := reference.WithName(w.repository); w.repository != "" && err != nil {
			return denied("%.100q cannot be the name of a repository", w.repository)
		}
	}
	return nil
}

// may decides about one repository, or about the list of all repositories.
func (c *Controller) may(r *http.Request, who *identity, w want) *Refusal {
	ctx := r.Context()
	switch {
	case w.unknown && w.repository != "":
		return denied("the registry does not know what is to be done with repository %s", w.repository)
	case w.repository == "":
		return c.mayList(r, who)
	}
	limited, cancel := context.WithTimeout(ctx, findLimit)
	defer cancel()
	p, err := c.find(limited, w.repository)
	if err != nil {
		return unavailable(err)
	}
	purges, err := c.purges(ctx, who, p, w)
	switch {
	case err != nil:
		return unavailable(err)
	case purges:
		return nil
	case w.deletes:
		return denied("user %q may not delete in repository %s: only purges do. Remove the entry from its ArtifactManifest, or delete that, and nfo cleans up", who.name, w.repository)
	case p.store == nil:
		return denied("no ArtifactStore with spec.registry.clusterRegistry has the repository %s: its name begins with the prefix of a store, which by default is the store's namespace. Compare it with the column URL of: kubectl get artifactstores", w.repository)
	case p.isMirror():
		return c.mayUseMirror(ctx, who, p, w)
	case w.pushes:
		return c.mayPush(r, who, p, w)
	}
	return c.mayPull(ctx, who, p)
}

// The verbs on manifests and stores.
const (
	verbPush  = "push"
	verbPull  = "pull"
	verbPurge = "purge"
)

// purges reports whether a request comes from the purge of the repository's store, which may do everything in the
// store's repositories. To save questions, it asks only for requests that delete, and for the purge's ServiceAccount.
func (c *Controller) purges(ctx context.Context, who *identity, p *place, w want) (bool, error) {
	if p.store == nil || !w.deletes && who.name != purger(p.store) {
		return false, nil
	}
	return c.has(ctx, who, right{verbPurge, resourceStores, p.store.Namespace, p.store.Name})
}

// catalog is the path of the list of all repositories.
const catalog = "/v2/_catalog"

// mayList allows the mirror's purge to list all repositories, because the mirror can contain repositories that no
// Artifact refers to any more. The mirror, and therefore its purge, belongs to the operator.
func (c *Controller) mayList(r *http.Request, who *identity) *Refusal {
	limited, cancel := context.WithTimeout(r.Context(), findLimit)
	defer cancel()
	var stores v1alpha1.ArtifactStoreList
	if err := c.o.Objects.List(limited, &stores, client.MatchingFields{storeByPrefix: v1alpha1.MirrorPrefix}, client.UnsafeDisableDeepCopy); err != nil {
		return unavailable(fmt.Errorf("finding the mirror: %w", err))
	}
	for i := range stores.Items {
		s := &stores.Items[i]
		if r.URL.Path != catalog || s.Spec.Mirror == nil || backend.Inert(s) != nil || who.name != purger(s) {
			continue
		}
		switch allowed, err := c.has(r.Context(), who, right{verbPurge, resourceStores, s.Namespace, s.Name}); {
		case err != nil:
			return unavailable(err)
		case allowed:
			return nil
		}
	}
	return denied("user %q may not list all repositories: only the operator's own accounts may, and the purge of the mirror", who.name)
}

// mayPull requires the verb pull or push on any manifest that lists the repository.
func (c *Controller) mayPull(ctx context.Context, who *identity, p *place) *Refusal {
	names := p.names()
	for _, name := range names {
		for _, verb := range []string{verbPull, verbPush} {
			allowed, err := c.has(ctx, who, right{verb, resourceManifests, p.store.Namespace, name})
			if err != nil {
				return unavailable(err)
			}
			if allowed {
				return nil
			}
		}
	}
	return lacks(who, right{verbPull, resourceManifests, p.store.Namespace, names[0]})
}

// mayPush requires the verb push on a manifest that accepts the push.
func (c *Controller) mayPush(r *http.Request, who *identity, p *place, w want) *Refusal {
	names, has := p.names(), map[string]bool{}
	for _, name := range names {
		allowed, err := c.has(r.Context(), who, right{verbPush, resourceManifests, p.store.Namespace, name})
		if err != nil {
			return unavailable(err)
		}
		if allowed {
			has[name] = true
		}
	}
	if len(has) == 0 {
		return lacks(who, right{verbPush, resourceManifests, p.store.Namespace, names[0]})
	}
	if refusal := closedStore(p); refusal != nil {
		return refusal
	}
	refusal := unlisted(p)
	for i := range p.manifests {
		if m := &p.manifests[i]; has[m.Name] {
			if refusal = p.checkPush(m, w, r); refusal == nil {
				return nil
			}
		}
	}
	return refusal
}

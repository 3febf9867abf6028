package mirror

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/rewrite"
)

// maxLogins bounds the logins that are tried at one source.
const maxLogins = 32

// Question is what is asked of a source, and for whom.
type Question struct {
	Image rewrite.Image
	// Namespace and UID are the Artifact's.
	Namespace string
	UID       types.UID
	// Mirror is the mirror's store.
	Mirror *v1alpha1.ArtifactStore
	// Secret is the Secret of the namespace that worked last, "" for none, if Seen says that the source has answered
	// before.
	Secret string
	Seen   bool
}

// Answer is what the source said.
type Answer struct {
	// Descriptor is what the tag or digest is at.
	Descriptor ocispec.Descriptor
	// Secret is the Secret of the Artifact's namespace that worked; "" if none was needed, or it is the administrator's.
	Secret string

	from *registry.Client
}

// Ask asks the source of an image what its tag or digest is at, by one request for each login that is tried. What
// worked last is tried first, then the Secrets of the pods that use the image and of their ServiceAccounts, or of
// templates without pods, those of stores of the namespace, those of the mirror, and no login. The next one is tried
// where the source denies one, or says that there is nothing: registries hide in that way what one may not read.
// Errors wrap ErrDenied or ErrNotFound of package registry if all are refused.
func (m *Mirror) Ask(ctx context.Context, q Question) (Answer, error) {
	at, err := m.reach(ctx, q.Image)
	if err != nil {
		return Answer{}, err
	}
	t := &trial{mirror: m, question: q, at: at, done: map[string]bool{}}
	for _, secret := range m.first(q) {
		if a, over, err := t.secret(ctx, secret); over {
			return a, err
		}
	}
	secrets, err := m.secrets(ctx, q)
	if err != nil {
		return Answer{}, fmt.Errorf("finding logins for %s: %w", q.Image, err)
	}
	for _, secret := range append(secrets, types.NamespacedName{}) {
		if a, over, err := t.secret(ctx, secret); over {
			return a, err
		}
	}
	return Answer{}, t.refused()
}

// first are the Secrets that worked last; the zero name stands for no login.
func (m *Mirror) first(q Question) []types.NamespacedName {
	if worked, ok := m.worked.Get(q.UID); ok && q.may(worked) {
		return []types.NamespacedName{worked}
	}
	switch {
	case !q.Seen:
		return nil
	case q.Secret == "":
		return []types.NamespacedName{{}}
	}
	return []types.NamespacedName{{Namespace: q.Namespace, Name: q.Secret}}
}

// may reports whether a Secret is one of the Artifact's namespace, or one that the administrator gives to all. The zero
// name is anybody's.
func (q Question) may(secret types.NamespacedName) bool {
	if secret.Name == "" || secret.Namespace == q.Namespace {
		return true
	}
	return secret.Namespace == q.Mirror.Namespace && slices.Contains(q.Mirror.Spec.Mirror.ImagePullSecrets, v1alpha1.LocalReference{Name: secret.Name})
}

// trial is one Ask.
type trial struct {
	mirror   *Mirror
	question Question
	at       reached
	done     map[string]bool // what was tried
	tried    []string        // for people
	worst    error
	logins   int
}

// secret tries all logins of a Secret, or none for the zero one. over reports whether that ends the trial.
func (t *trial) secret(ctx context.Context, name types.NamespacedName) (a Answer, over bool, err error) {
	if t.done[name.String()] {
		return Answer{}, false, nil
	}
	t.done[name.String()] = true
	logins, err := t.mirror.logins(ctx, t.question, name, t.at)
	if err != nil {
		t.note(name, err)
		return Answer{}, false, nil
	}
	for _, l := range logins {
		if t.logins++; t.logins > maxLogins {
			return Answer{}, true, t.refused()
		}
		from, err := t.mirror.client(t.question, t.at, l)
		if err != nil {
			return Answer{}, true, err
		}
		d, err := from.Resolve(ctx, t.question.Image.Repository, t.question.Image.Reference())
		switch {
		case err == nil:
			t.mirror.worked.Add(t.question.UID, name)
			return t.answer(d, name, from), true, nil
		case errors.Is(err, registry.ErrDenied), errors.Is(err, registry.ErrNotFound), registry.OfOne(err):
			t.note(name, err)
		default:
			return Answer{}, true, err
		}
	}
	return Answer{}, false, nil
}

func (t *trial) answer(d ocispec.Descriptor, name types.NamespacedName, from *registry.Client) Answer {
	a := Answer{Descriptor: d, from: from}
	if name.Namespace == t.question.Namespace {
		a.Secret = name.Name
	}
	return a
}

// note remembers why a login is of no use. What denies says more than what hides.
func (t *trial) note(name types.NamespacedName, err error) {
	who := "no login"
	switch {
	case name.Namespace == t.question.Namespace:
		who = "Secret " + name.Name
	case name.Name != "":
		who = "a Secret of the mirror" // whose name is not the namespace's business
	}
	if errors.Is(err, errUnusable) {
		who += " (unusable)"
	}
	t.tried = append(t.tried, who)
	if t.worst == nil || errors.Is(t.worst, errUnusable) || errors.Is(err, registry.ErrDenied) && !errors.Is(t.worst, registry.ErrDenied) {
		t.worst = err
	}
}

// refused is the error of a trial in which nothing worked.
func (t *trial) refused() error {
	t.mirror.worked.Remove(t.question.UID)
	return fmt.Errorf("%w (tried: %s)", t.worst, v1alpha1.FirstOf(t.tried, 5))
}

// errUnusable: a Secret that cannot be used at all.
var errUnusable = errors.New("the Secret does not exist, or has no login that can be read")

// reached is how a source is connected to.
type reached struct {
	location v1alpha1.RegistryLocation
	ca       []byte
}

// host is whom the requests are for, whatever the case.
func (r reached) host() string { return strings.ToLower(r.location.Host) }

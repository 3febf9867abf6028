package mirror

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/registry"
	"github.com/nfo-operator/nfo/internal/rewrite"
)

// maxLogins bounds the logins that one Ask tries.
const maxLogins = 32

// Question is a request for an image at its source, on behalf of an Artifact.
type Question struct {
	Image rewrite.Image
	// Namespace and UID are those of the Artifact.
	Namespace string
	UID       types.UID
	// Mirror is the mirror's store.
	Mirror *v1alpha1.ArtifactStore
	// Secret is the Secret of the namespace that worked last, "" if none was
	// needed. It counts only if Seen says that the source has answered before.
	Secret string
	Seen   bool
}

// Answer is the answer of a source.
type Answer struct {
	// Descriptor is the descriptor of the tag or digest.
	Descriptor ocispec.Descriptor
	// Secret is the Secret of the Artifact's namespace that worked;
	// "" if none was needed, or if it was one of the administrator's.
	Secret string

	from *registry.Client
}

// Ask asks the source of an image for the descriptor of its tag or digest, with one request for each login.
// It first tries the login that worked last. Then it tries the Secrets of the pods that use the image and
// of their ServiceAccounts (without such pods, those of templates), those of the namespace's stores, those
// of the mirror, and no login. It tries the next login if the source denies access or says that the image
// does not exist, because registries also say this about images that a login may not read. If all logins
// are refused, errors wrap ErrDenied or ErrNotFound of package registry. If a Secret cannot be read because
// the API server fails, Ask ends with that error.
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

// first returns the Secret that worked last, if it is known; the zero name stands for no login.
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

// may reports whether a Secret may be used for the Artifact: it is in the Artifact's namespace, or the administrator
// gives it to all. The zero name may always be used.
func (q Question) may(secret types.NamespacedName) bool {
	if secret.Name == "" || secret.Namespace == q.Namespace {
		return true
	}
	return secret.Namespace == q.Mirror.Namespace && slices.Contains(q.Mirror.Spec.Mirror.ImagePullSecrets, v1alpha1.LocalReference{Name: secret.Name})
}

// trial is the state of one Ask.
type trial struct {
	mirror   *Mirror
	question Question
	at       reached
	done     map[string]bool // the Secrets that were tried
	tried    []string        // for the error message
	worst    error
	unread   error // of the first Secret that the API server did not return
	logins   int
}

// secret tries all logins of a Secret, or no login for the zero name. over reports whether the trial is finished.
func (t *trial) secret(ctx context.Context, name types.NamespacedName) (a Answer, over bool, err error) {
	if t.done[name.String()] {
		return Answer{}, false, nil
	}
	t.done[name.String()] = true
	logins, err := t.mirror.logins(ctx, t.question, name, t.at)
	switch {
	case errors.Is(err, errUnusable):
		t.note(name, err)
		return Answer{}, false, nil
	case err != nil:
		t.unread = cmp.Or(t.unread, t.withoutName(ctx, name, err))
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

// withoutName replaces an error of the API server that has
// the name of a Secret which the namespace must not learn.
func (t *trial) withoutName(ctx context.Context, name types.NamespacedName, err error) error {
	if name.Namespace == t.question.Namespace {
		return err
	}
	log.FromContext(ctx).Error(err, "Reading a Secret of the mirror", "secret", name)
	return fmt.Errorf("reading %s: %w", ofMirror, cmp.Or(ctx.Err(), errUnread))
}

func (t *trial) answer(d ocispec.Descriptor, name types.NamespacedName, from *registry.Client) Answer {
	a := Answer{Descriptor: d, from: from}
	if name.Namespace == t.question.Namespace {
		a.Secret = name.Name
	}
	return a
}

// note records why a login did not work. A denial replaces other errors, because it says more than "not found".
func (t *trial) note(name types.NamespacedName, err error) {
	who := "no login"
	switch {
	case name.Namespace == t.question.Namespace:
		who = "Secret " + name.Name
	case name.Name != "":
		who = ofMirror
	}
	if errors.Is(err, errUnusable) {
		who += " (unusable)"
	}
	t.tried = append(t.tried, who)
	if t.worst == nil || errors.Is(t.worst, errUnusable) || errors.Is(err, registry.ErrDenied) && !errors.Is(t.worst, registry.ErrDenied) {
		t.worst = err
	}
}

// refused returns the error of a trial in which no login worked, and forgets the login that worked last,
// unless a Secret could not be read: the source may accept its login.
func (t *trial) refused() error {
	if t.unread != nil {
		return t.unread
	}
	t.mirror.worked.Remove(t.question.UID)
	return fmt.Errorf("%w (tried: %s)", t.worst, v1alpha1.FirstOf(t.tried, 5))
}

// ofMirror stands for a Secret of the administrator, because a namespace must not learn its name.
const ofMirror = "a Secret of the mirror"

var (
	// errUnusable means that a Secret cannot be used at all.
	errUnusable = errors.New("the Secret does not exist, may not be read by the manager, or has no valid login")
	// errUnread stands for an error of the API server that has the name of a Secret.
	errUnread = errors.New("the API server does not return it; the log of the manager says why")
)

// reached says how to connect to a source.
type reached struct {
	location v1alpha1.RegistryLocation
	ca       []byte
}

// host returns the host of the source in lower case.
func (r reached) host() string { return strings.ToLower(r.location.Host) }

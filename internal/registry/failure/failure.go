package failure

import (
	"errors"
	"fmt"
	"time"
)

// What can go wrong. Every error about a registry wraps one of these.
var (
	// ErrNotFound: the registry itself says that it does not have it; see absence.go of package wire for which
	// answers count, and SettlesIn for how long it has said so.
	ErrNotFound = errors.New("not found")
	// ErrDenied: the registry refuses the credentials, what they may do, or this request in
	// particular (an immutable tag, a locked image, a digest that another image needs). Trying
	// again does not help before something else has changed.
	ErrDenied = errors.New("denied")
	// ErrProtected: the registry refuses to delete this object in particular, because something refers
	// to it, it is locked, or its tag is immutable. It wraps ErrDenied.
	ErrProtected = fmt.Errorf("%w for this object", ErrDenied)
	// ErrUnsupported: the registry does not do this at all, such as deleting.
	ErrUnsupported = errors.New("unsupported")
	// ErrUnavailable: no answer, or none that counts: network, TLS, time, 429, 5xx.
	ErrUnavailable = errors.New("unavailable")
	// ErrUnreadable: there is an answer and it cannot be trusted or understood: too large,
	// not of its digest, of an unknown form. Whatever it may name must be kept.
	ErrUnreadable = errors.New("unreadable")
	// ErrTagTaken: the tag is at another digest than expected, and was left there.
	ErrTagTaken = errors.New("tag is at another digest")
	// ErrCredentials: a Secret holds no usable credential for this registry.
	ErrCredentials = errors.New("unusable credentials")
	// ErrConfig: the client was asked for what it cannot be: a bad location, CA bundle or
	// name, or a repository outside its location.
	ErrConfig = errors.New("unusable configuration")
	// ErrName: a repository cannot have this name, in any registry.
	ErrName = fmt.Errorf("%w of one artifact", ErrConfig)
)

// MaxText bounds the text of an error, in bytes. Errors end up in conditions and events.
const MaxText = 1 << 10

// Error is an error with its class, which is one of the sentinels, and a text that is safe to show.
type Error struct {
	Class, Cause error
	Text         string
	After        time.Duration // what the registry asked to wait
	AbsentSince  time.Time     // of ErrNotFound: since when the registry has said so
	SecondLook   time.Duration // how long it has to
}

// Error returns the text.
func (f *Error) Error() string { return f.Text }

// Unwrap returns the class, which is one of the sentinels, and the cause.
func (f *Error) Unwrap() []error { return []error{f.Class, f.Cause} }

// RetryAfter returns how long the registry asked to wait in the answer that err came from, 5
// minutes at most; 0 when it did not ask, or did not answer. It is for callers who can wait
// longer than a call does: they read again what they know before they try again (I3).
func RetryAfter(err error) time.Duration {
	var f *Error
	if !errors.As(err, &f) {
		return 0
	}
	return f.After
}

// SecondLook is how long the registry must have said, without a break, that something does not
// exist before that may be acted on where the operator did not remove it itself; see SettlesIn. Load balancers,
// restarts and replicated storage give wrong answers for seconds.
const SecondLook = 15 * time.Second

// ErrUnproven is wrapped by ErrUnavailable for a 404 that does not prove that anything is missing.
var ErrUnproven = errors.New("the answer is 404 without the error code that a registry gives for what does not exist, so it proves nothing; a proxy or a registry that is starting may have answered")

// SettlesIn returns how much longer the registry has to say that what err is about does not exist until
// that counts as settled: until it has said so for SecondLook, without a break, to this client. 0 means
// settled. For errors that do not wrap ErrNotFound it returns SecondLook.
func SettlesIn(err error) time.Duration {
	var f *Error
	if !errors.Is(err, ErrNotFound) || !errors.As(err, &f) || f.AbsentSince.IsZero() {
		return SecondLook
	}
	return max(0, f.SecondLook-time.Since(f.AbsentSince))
}

// OfOne reports whether an error concerns the one thing that was asked for, so that others may well be
// read: there was an answer, and it cannot be understood or proves nothing; or nothing can have that name.
func OfOne(err error) bool {
	return errors.Is(err, ErrUnreadable) || errors.Is(err, ErrUnproven) || errors.Is(err, ErrName)
}

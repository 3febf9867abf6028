package failure

import (
	"errors"
	"fmt"
	"time"
)

// The classes of errors. Every error about a registry wraps one of these.
var (
	// ErrNotFound: the registry itself reports that the object does not exist. absence.go of package wire
	// decides which answers count, and SettlesIn returns how much longer the registry must report it.
	ErrNotFound = errors.New("not found")
	// ErrDenied: the registry refuses the credentials, their permissions, or this
	// request in particular (an immutable tag, a locked image, a digest that another
	// image needs). Another try fails too unless something else has changed.
	ErrDenied = errors.New("denied")
	// ErrProtected: the registry refuses to delete this object in particular, because
	// something references it, it is locked, or its tag is immutable. It wraps ErrDenied.
	ErrProtected = fmt.Errorf("%w for this object", ErrDenied)
	// ErrUnsupported: the registry does not support this operation at all, such as deletion.
	ErrUnsupported = errors.New("unsupported")
	// ErrUnavailable: no answer, or no valid answer: network, TLS, timeout, 429, 5xx.
	ErrUnavailable = errors.New("unavailable")
	// ErrUnreadable: the answer is too large, does not have its digest, has an unknown
	// form, or is invalid in another way. Everything that it may reference must be kept.
	ErrUnreadable = errors.New("unreadable")
	// ErrTagTaken: the tag is at another digest than expected, and was not changed.
	ErrTagTaken = errors.New("tag is at another digest")
	// ErrCredentials: no usable credential for this registry can be read.
	ErrCredentials = errors.New("unusable credentials")
	// ErrConfig: the configuration or a parameter is invalid: a bad
	// location, CA bundle or name, or a repository outside the location.
	ErrConfig = errors.New("unusable configuration")
	// ErrName: no registry can have a repository of this name.
	ErrName = fmt.Errorf("%w of one artifact", ErrConfig)
)

// MaxText bounds the text of an error, in bytes. Errors end up in conditions and events.
const MaxText = 1 << 10

// Error is an error with its class, which is one of the sentinels, and a text without secrets.
type Error struct {
	Class, Cause error
	Text         string
	After        time.Duration // how long the registry asked to wait
	AbsentSince  time.Time     // of ErrNotFound: since when the registry has reported it
	SecondLook   time.Duration // of ErrNotFound: how long the registry must report it
}

// Error returns the text.
func (f *Error) Error() string { return f.Text }

// Unwrap returns the class, which is one of the sentinels, and the cause.
func (f *Error) Unwrap() []error { return []error{f.Class, f.Cause} }

// RetryAfter returns how long the registry asked to wait in the answer that err came from, at
// most 5 minutes; 0 if it did not ask, or did not answer. It is for callers that can wait
// longer than a call can. They must read again what they know before they repeat the call (I3).
func RetryAfter(err error) time.Duration {
	var f *Error
	if !errors.As(err, &f) {
		return 0
	}
	return f.After
}

// SecondLook is how long the registry must have reported, without interruption, that something
// does not exist before a caller may act on it, unless the operator itself removed it; see
// SettlesIn. Load balancers, restarts and replicated storage give wrong answers for seconds.
const SecondLook = 15 * time.Second

// ErrUnproven is wrapped by ErrUnavailable for a 404 that does not prove that anything is missing.
var ErrUnproven = errors.New("the answer is 404 without the error code that a registry gives for what does not exist, so it proves nothing; a proxy or a registry that is starting may have answered")

// SettlesIn returns how much longer the registry must report the absence in err until it counts as settled.
// It is settled, and SettlesIn returns 0, once the registry has reported it to this client for SecondLook
// without interruption. For an error that does not wrap ErrNotFound, SettlesIn returns SecondLook.
func SettlesIn(err error) time.Duration {
	var f *Error
	if !errors.Is(err, ErrNotFound) || !errors.As(err, &f) || f.AbsentSince.IsZero() {
		return SecondLook
	}
	return max(0, f.SecondLook-time.Since(f.AbsentSince))
}

// OfOne reports whether an error concerns only the requested object, so that others may be readable:
// the answer cannot be understood or proves nothing, or no registry can have a repository of that name.
func OfOne(err error) bool {
	return errors.Is(err, ErrUnreadable) || errors.Is(err, ErrUnproven) || errors.Is(err, ErrName)
}

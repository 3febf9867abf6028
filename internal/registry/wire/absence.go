package wire

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"oras.land/oras-go/v2/registry/remote/errcode"

	"github.com/nfo-operator/nfo/internal/registry/failure"
)

// maxAbsences bounds how many absent things a client remembers.
const maxAbsences = 16_384

// Subject is what a request asks about. It decides which error codes prove that it does not exist.
type Subject int

// What a request asks about.
const (
	anything  Subject = iota // no 404 proves anything
	AManifest                // by tag or digest
	ABlob
	TagList
	Contents // what a pushed manifest refers to
)

// absenceCodes are the codes that prove the absence of a subject. A repository that does not exist
// contains nothing. Spec: OCI distribution-spec, "Error Codes".
var absenceCodes = map[Subject][]string{
	AManifest: {errcode.ErrorCodeManifestUnknown, errcode.ErrorCodeNameUnknown, "TAG_EXPIRED"}, // the last one is Quay's, for a deleted tag
	ABlob:     {errcode.ErrorCodeBlobUnknown, errcode.ErrorCodeNameUnknown},
	TagList:   {errcode.ErrorCodeNameUnknown},
	Contents:  {errcode.ErrorCodeManifestBlobUnknown, errcode.ErrorCodeBlobUnknown, errcode.ErrorCodeManifestUnknown},
}

// absent reports whether an error answer proves that what was asked for does not exist in a
// repository. It is the one rule of this package for that; every other 404 is not an answer (I2).
func (s Subject) absent(repository string, answer *errcode.ErrorResponse) bool {
	return slices.ContainsFunc(answer.Errors, func(e errcode.Error) bool {
		switch {
		case strings.Contains(e.Message, "accept header"):
			return false // distribution gives MANIFEST_UNKNOWN to a manifest of a type that was not asked for, too
		case slices.Contains(absenceCodes[s], e.Code):
			return true
		}
		return s != anything && e.Code == "NOT_FOUND" && harborSays(repository, e.Message)
	})
}

// harborSays recognises how Harbor says that something does not exist, with a code of its own:
// "artifact library/app:1 not found", "repository library/app not found", "blob sha256:... not found".
func harborSays(repository, message string) bool {
	rest, ok := strings.CutSuffix(message, " not found")
	if !ok {
		return false
	}
	kind, name, _ := strings.Cut(rest, " ")
	switch kind {
	case "artifact":
		return strings.HasPrefix(name, repository+":") || strings.HasPrefix(name, repository+"@")
	case "repository":
		return name == repository
	}
	return kind == "blob" && IsDigest(name)
}

// absences remembers since when each thing is said not to exist. It is safe for concurrent use.
type absences struct {
	secondLook time.Duration

	mu    sync.Mutex
	since map[string]time.Time
}

func newAbsences(secondLook time.Duration) *absences {
	return &absences{secondLook: secondLook, since: map[string]time.Time{}}
}

// note remembers an answer about a manifest, and gives an absence its beginning. An answer that
// proves nothing changes nothing.
func (a *absences) note(repository, reference string, err error) error {
	key := repository + "@" + reference
	a.mu.Lock()
	defer a.mu.Unlock()
	if err == nil {
		delete(a.since, key)
		return nil
	}
	var f *failure.Error
	if !errors.Is(err, failure.ErrNotFound) || !errors.As(err, &f) {
		return err
	}
	since, known := a.since[key]
	if !known {
		since = time.Now()
		a.makeRoom()
		a.since[key] = since
	}
	f.AbsentSince, f.SecondLook = since, a.secondLook
	return err
}

// makeRoom drops an arbitrary absence when there are too many: its time then begins anew.
func (a *absences) makeRoom() {
	if len(a.since) < maxAbsences {
		return
	}
	for key := range a.since {
		delete(a.since, key)
		return
	}
}

// Noted gives an absence that an answer reports its beginning; see absences.
func (c *Client) Noted(repository, reference string, err error) error {
	return c.absences.note(repository, reference, err)
}

// SecondLook is how long the registry must say that something does not exist.
func (c *Client) SecondLook() time.Duration { return c.absences.secondLook }

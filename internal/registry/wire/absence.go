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

// maxAbsences is how many absent tags and digests a client remembers.
const maxAbsences = 16_384

// Subject is the kind of thing that a request asks about. It
// decides which error codes prove that the thing does not exist.
type Subject int

// The subjects of requests.
const (
	anything  Subject = iota // no 404 proves anything
	AManifest                // by tag or digest
	ABlob
	TagList
	Contents // the blobs and manifests that a pushed manifest references
)

// absenceCodes are the error codes that prove the absence of a subject. NAME_UNKNOWN counts because
// a repository that does not exist contains nothing. Spec: OCI distribution-spec, "Error Codes".
var absenceCodes = map[Subject][]string{
	AManifest: {errcode.ErrorCodeManifestUnknown, errcode.ErrorCodeNameUnknown, "TAG_EXPIRED"}, // the last one is Quay's, for a deleted tag
	ABlob:     {errcode.ErrorCodeBlobUnknown, errcode.ErrorCodeNameUnknown},
	TagList:   {errcode.ErrorCodeNameUnknown},
	Contents:  {errcode.ErrorCodeManifestBlobUnknown, errcode.ErrorCodeBlobUnknown, errcode.ErrorCodeManifestUnknown},
}

// absent reports whether an error answer proves that the subject does
// not exist in a repository. No other 404 proves an absence (I2).
func (s Subject) absent(repository string, answer *errcode.ErrorResponse) bool {
	return slices.ContainsFunc(answer.Errors, func(e errcode.Error) bool {
		switch {
		case strings.Contains(e.Message, "accept header"):
			return false // distribution also answers MANIFEST_UNKNOWN for a manifest whose type the request does not accept
		case slices.Contains(absenceCodes[s], e.Code):
			return true
		}
		return s != anything && e.Code == "NOT_FOUND" && harborSays(repository, e.Message)
	})
}

// harborSays reports whether a message of Harbor says that the subject does not exist.
// Harbor sends these messages with its own code NOT_FOUND: "artifact library/app:1 not
// found", "repository library/app not found", "blob sha256:... not found".
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

// absences remembers since when the registry has reported each
// tag or digest as missing. It is safe for concurrent use.
type absences struct {
	secondLook time.Duration

	mu    sync.Mutex
	since map[string]time.Time
}

func newAbsences(secondLook time.Duration) *absences {
	return &absences{secondLook: secondLook, since: map[string]time.Time{}}
}

// note records an answer about a manifest, and sets in an absence since when the
// registry has reported it. An error that proves nothing leaves the record as it is.
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

// makeRoom drops an arbitrary absence if there are too many. The time of the dropped absence starts again.
func (a *absences) makeRoom() {
	if len(a.since) < maxAbsences {
		return
	}
	for key := range a.since {
		delete(a.since, key)
		return
	}
}

// Noted sets in an error that reports an absence since when the registry has reported that absence; see absences.
func (c *Client) Noted(repository, reference string, err error) error {
	return c.absences.note(repository, reference, err)
}

// SecondLook returns how long the registry must report that something does not exist before that may be acted on.
func (c *Client) SecondLook() time.Duration { return c.absences.secondLook }

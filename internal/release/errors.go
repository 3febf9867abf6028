package release

import (
	"errors"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// ErrStoreNotFound is returned when the manifest's store does not exist although artifacts of the manifest were seen in it.
var ErrStoreNotFound = errors.New("the store does not exist; create it again")

// ErrOnDelete is returned when the annotation nfo.dev/on-delete has an unknown value.
var ErrOnDelete = errors.New("annotation " + v1alpha1.AnnotationOnDelete + " has a value that is not known; the only one is " + v1alpha1.OnDeleteOrphan)

// ErrUndoTagTaken is returned when the undo tag of a digest points to another digest and so protects nothing.
var ErrUndoTagTaken = errors.New("the undo tag is taken")

// ErrShared is returned when another manifest lists the tag too.
var ErrShared = errors.New("this manifest lists the tag too, and what another manifest lists is never touched; take it from that list, or push the sealed artifact yourself")

// ErrClaimed is returned when a purge has claimed the tombstone's entry.
var ErrClaimed = errors.New("a purge is deleting these digests")

// ErrStillThere is returned when the registry accepted the deletion of a tag and still has the tag.
var ErrStillThere = errors.New("the registry accepted the deletion of the tag and still has it")

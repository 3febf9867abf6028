package release

import (
	"errors"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// ErrStoreNotFound says: the manifest's store does not exist, and artifacts were seen in it.
var ErrStoreNotFound = errors.New("the store does not exist; create it again")

// ErrOnDelete says: somebody asked for something on deletion that is not known.
var ErrOnDelete = errors.New("annotation " + v1alpha1.AnnotationOnDelete + " has a value that is not known; the only one is " + v1alpha1.OnDeleteOrphan)

// ErrUndoTagTaken says: the tag that is to keep a digest is at another one, so that it keeps nothing.
var ErrUndoTagTaken = errors.New("the undo tag is taken")

// ErrShared says: another manifest lists the tag too.
var ErrShared = errors.New("this manifest lists the tag too, and what another manifest lists is never touched; take it from that list, or push the sealed artifact yourself")

// ErrClaimed says: a purge has claimed the tombstone's entry.
var ErrClaimed = errors.New("a purge is deleting these digests")

// ErrStillThere says: the registry took the deletion of a tag and still has the tag.
var ErrStillThere = errors.New("the registry accepted the deletion of the tag and still has it")

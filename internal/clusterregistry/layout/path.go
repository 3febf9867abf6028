// Package layout defines the paths of the files in a registry's directory, and reads what a manifest references.
//
// Contract: pure functions; the package reads no file. The paths are those of version 2 of the layout of distribution's
// registry, which its versions 2.8 and 3 write: a test pushes through that registry and compares the tree. A path
// begins with a slash, which is the volume's root.
//
// A reference is a small file that contains a digest: a layer link ("this repository
// may read this blob"), a revision link ("this repository has this manifest") or a
// tag. Layer links and revision links can be rewritten from their own path.
package layout

import (
	_ "crypto/sha256" // Manifests may use digests of both algorithms.
	_ "crypto/sha512"
	"path"
	"strings"

	"github.com/opencontainers/go-digest"
)

// The parts of the tree.
const (
	// Root is the folder of distribution's files.
	Root = "/docker/registry/v2"
	// Blobs is the folder of the content of all repositories, including manifests, by digest.
	Blobs = Root + "/blobs"
	// Repositories is the folder that has a folder for each component of a repository's name.
	Repositories = Root + "/repositories"

	layers    = "_layers"
	manifests = "_manifests"
	revisions = manifests + "/revisions"
	tags      = manifests + "/tags"
	referrers = manifests + "/referrers"
	uploads   = "_uploads"
	link      = "link"
	data      = "data"
	startedAt = "startedat"
)

// Kind is the purpose of a file.
type Kind int

const (
	// Other is any file that the collection rules do not concern.
	Other Kind = iota
	// Blob is the content of a digest.
	Blob
	// Layer is a layer link.
	Layer
	// Revision is a revision link.
	Revision
	// Tag is the digest that a tag points to now.
	Tag
	// Referrer is an entry in the list of manifests that have a digest as their subject.
	Referrer
	// Upload is a file of an unfinished upload.
	Upload
)

// Path is a parsed path of the tree. Fields that its kind does not have are empty.
type Path struct {
	Kind       Kind
	Repository string
	// Digest is the digest of the blob, the layer or the manifest.
	// For a Referrer it is the manifest that refers to Subject.
	Digest digest.Digest
	// Subject is the manifest that a Referrer refers to.
	Subject digest.Digest
	// Name is the tag of a Tag, and the ID of an Upload.
	Name string
}

// BlobPath returns the path of the content of a digest.
func BlobPath(d digest.Digest) string { return Blobs + "/" + BlobFile(d) }

// BlobFile returns the path of the content of a digest relative to Blobs.
func BlobFile(d digest.Digest) string {
	encoded := d.Encoded()
	return string(d.Algorithm()) + "/" + encoded[:2] + "/" + encoded + "/" + data
}

// LayerPath returns the path of the link that allows a repository to read a blob.
func LayerPath(repository string, d digest.Digest) string {
	return LayersOf(repository) + "/" + LayerFile(d)
}

// LayerFile returns the path of the layer link of a blob relative to LayersOf.
func LayerFile(d digest.Digest) string { return string(d.Algorithm()) + "/" + d.Encoded() + "/" + link }

// RevisionPath returns the path of the link that says that a repository has a manifest.
func RevisionPath(repository string, d digest.Digest) string {
	return RevisionsOf(repository) + "/" + string(d.Algorithm()) + "/" + d.Encoded() + "/" + link
}

// TagPath returns the path of the link from a tag to its manifest.
func TagPath(repository, tag string) string {
	return path.Join(TagsOf(repository), tag, "current", link)
}

// TagHistoryOf returns the folder that has a link for each digest that a tag has ever pointed to.
func TagHistoryOf(repository, tag string) string {
	return path.Join(TagsOf(repository), tag, "index")
}

// ReferrerPath returns the path of the entry that says that manifest d has the given subject.
func ReferrerPath(repository string, subject, d digest.Digest) string {
	return path.Join(ReferrersOf(repository, subject), string(d.Algorithm()), d.Encoded(), link)
}

// LayersOf returns the folder of a repository's layer links.
func LayersOf(repository string) string { return Repositories + "/" + repository + "/" + layers }

// RevisionsOf returns the folder of a repository's revision links.
func RevisionsOf(repository string) string { return Repositories + "/" + repository + "/" + revisions }

// ManifestsOf returns the folder of a repository's revisions, tags and lists of referrers.
func ManifestsOf(repository string) string { return Repositories + "/" + repository + "/" + manifests }

// TagsOf returns the folder that has a folder for each tag of a repository.
func TagsOf(repository string) string { return Repositories + "/" + repository + "/" + tags }

// UploadsOf returns the folder that has a folder for each upload to a repository.
func UploadsOf(repository string) string { return Repositories + "/" + repository + "/" + uploads }

// StartOf returns the path of the file that says when an upload began. It
// is beside the upload's data. An upload without it cannot be continued.
func StartOf(data string) string { return path.Join(path.Dir(data), startedAt) }

// AllReferrersOf returns the folder of a repository's lists of referrers.
func AllReferrersOf(repository string) string {
	return Repositories + "/" + repository + "/" + referrers
}

// ReferrersOf returns the folder that has an entry for each manifest of the repository with the given subject.
func ReferrersOf(repository string, subject digest.Digest) string {
	return path.Join(AllReferrersOf(repository), string(subject.Algorithm()), subject.Encoded())
}

// Parse parses a path. An unknown path, or one with an invalid digest, is Other.
func Parse(p string) Path {
	if rest, ok := strings.CutPrefix(p, Blobs+"/"); ok {
		return parseBlob(strings.Split(rest, "/"))
	}
	rest, ok := strings.CutPrefix(p, Repositories+"/")
	if !ok {
		return Path{}
	}
	repository, rest, ok := strings.Cut(rest, "/_")
	if !ok {
		return Path{}
	}
	rest = "_" + rest
	for _, kind := range []struct {
		prefix string
		parse  func(repository string, parts []string) Path
	}{{layers, parseLink(Layer)}, {revisions, parseLink(Revision)}, {tags, parseTag}, {referrers, parseReferrer}, {uploads, parseUpload}} {
		if below, ok := strings.CutPrefix(rest, kind.prefix+"/"); ok {
			return kind.parse(repository, strings.Split(below, "/"))
		}
	}
	return Path{}
}

func parseBlob(parts []string) Path {
	if len(parts) != 4 || parts[3] != data {
		return Path{}
	}
	if d, ok := digestOf(parts[0], parts[2]); ok && strings.HasPrefix(parts[2], parts[1]) {
		return Path{Kind: Blob, Digest: d}
	}
	return Path{}
}

func parseLink(kind Kind) func(string, []string) Path {
	return func(repository string, parts []string) Path {
		if len(parts) != 3 || parts[2] != link {
			return Path{}
		}
		if d, ok := digestOf(parts[0], parts[1]); ok {
			return Path{Kind: kind, Repository: repository, Digest: d}
		}
		return Path{}
	}
}

func parseTag(repository string, parts []string) Path {
	if len(parts) == 3 && parts[1] == "current" && parts[2] == link {
		return Path{Kind: Tag, Repository: repository, Name: parts[0]}
	}
	return Path{}
}

func parseReferrer(repository string, parts []string) Path {
	if len(parts) != 5 || parts[4] != link {
		return Path{}
	}
	subject, ok := digestOf(parts[0], parts[1])
	d, also := digestOf(parts[2], parts[3])
	if !ok || !also {
		return Path{}
	}
	return Path{Kind: Referrer, Repository: repository, Digest: d, Subject: subject}
}

func parseUpload(repository string, parts []string) Path {
	if len(parts) < 2 {
		return Path{}
	}
	return Path{Kind: Upload, Repository: repository, Name: parts[0]}
}

func digestOf(algorithm, encoded string) (digest.Digest, bool) {
	d := digest.NewDigestFromEncoded(digest.Algorithm(algorithm), encoded)
	return d, d.Validate() == nil
}

// RepositoryOfTags reports whether a folder is the folder of a repository's tags, and returns the repository.
func RepositoryOfTags(folder string) (string, bool) {
	rest, ok := strings.CutPrefix(folder, Repositories+"/")
	if !ok {
		return "", false
	}
	return strings.CutSuffix(rest, "/"+tags)
}

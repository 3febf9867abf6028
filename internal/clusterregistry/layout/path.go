// Package layout names the files of a registry's directory, and reads what a manifest in it names.
//
// Contract: pure; it reads no file. The paths are those of distribution's registry, version 2 of its layout, which
// version 2.8 and 3 of that program write: a test pushes through it and compares the tree. A path begins with a
// slash, which is the volume's root.
//
// A reference is a small file that names a digest: a layer link ("this repository may read this blob"), a revision
// link ("this repository has this manifest") and a tag. All but a tag can be written again from their own path.
package layout

import (
	_ "crypto/sha256" // Digests of both kinds are valid in manifests.
	_ "crypto/sha512"
	"path"
	"strings"

	"github.com/opencontainers/go-digest"
)

// The parts of the tree.
const (
	// Root is what distribution's files are in.
	Root = "/docker/registry/v2"
	// Blobs holds the content of all repositories, manifests too, by digest.
	Blobs = Root + "/blobs"
	// Repositories holds a folder for each component of a repository's name.
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

// Kind is what a file is for.
type Kind int

const (
	// Other is each file that the rules of collection do not concern.
	Other Kind = iota
	// Blob is content.
	Blob
	// Layer is a layer link.
	Layer
	// Revision is a revision link.
	Revision
	// Tag is what a tag points at now.
	Tag
	// Referrer is an entry of the list of manifests whose subject a digest is.
	Referrer
	// Upload is a file of an upload that has not ended.
	Upload
)

// Path is a path of the tree, taken apart. Fields that its kind does not have are empty.
type Path struct {
	Kind       Kind
	Repository string
	// Digest is the blob's, the layer's or the manifest's own; of a Referrer it is the manifest that refers.
	Digest digest.Digest
	// Subject is the manifest that a Referrer refers to.
	Subject digest.Digest
	// Name is the tag of a Tag, and the identity of an Upload.
	Name string
}

// BlobPath is where the content of a digest lies.
func BlobPath(d digest.Digest) string { return Blobs + "/" + BlobFile(d) }

// BlobFile is where in Blobs the content of a digest lies.
func BlobFile(d digest.Digest) string {
	encoded := d.Encoded()
	return string(d.Algorithm()) + "/" + encoded[:2] + "/" + encoded + "/" + data
}

// LayerPath is the link by which a repository may read a blob.
func LayerPath(repository string, d digest.Digest) string {
	return LayersOf(repository) + "/" + LayerFile(d)
}

// LayerFile is where in LayersOf the link of a blob lies.
func LayerFile(d digest.Digest) string { return string(d.Algorithm()) + "/" + d.Encoded() + "/" + link }

// RevisionPath is the link by which a repository has a manifest.
func RevisionPath(repository string, d digest.Digest) string {
	return RevisionsOf(repository) + "/" + string(d.Algorithm()) + "/" + d.Encoded() + "/" + link
}

// TagPath is the link from a tag to its manifest.
func TagPath(repository, tag string) string {
	return path.Join(TagsOf(repository), tag, "current", link)
}

// TagHistoryOf holds a link for each digest that a tag ever had.
func TagHistoryOf(repository, tag string) string {
	return path.Join(TagsOf(repository), tag, "index")
}

// ReferrerPath is the entry that says that a manifest has the given subject.
func ReferrerPath(repository string, subject, d digest.Digest) string {
	return path.Join(ReferrersOf(repository, subject), string(d.Algorithm()), d.Encoded(), link)
}

// LayersOf holds a repository's layer links.
func LayersOf(repository string) string { return Repositories + "/" + repository + "/" + layers }

// RevisionsOf holds a repository's revision links.
func RevisionsOf(repository string) string { return Repositories + "/" + repository + "/" + revisions }

// ManifestsOf holds a repository's revisions, tags and lists of referrers.
func ManifestsOf(repository string) string { return Repositories + "/" + repository + "/" + manifests }

// TagsOf holds a folder for each tag.
func TagsOf(repository string) string { return Repositories + "/" + repository + "/" + tags }

// UploadsOf holds a folder for each upload.
func UploadsOf(repository string) string { return Repositories + "/" + repository + "/" + uploads }

// StartOf is the file beside the data of an upload that says when it began. Nobody can go on with an upload without it.
func StartOf(data string) string { return path.Join(path.Dir(data), startedAt) }

// AllReferrersOf holds a repository's lists of referrers.
func AllReferrersOf(repository string) string {
	return Repositories + "/" + repository + "/" + referrers
}

// ReferrersOf holds an entry for each manifest of the repository whose subject is the given one.
func ReferrersOf(repository string, subject digest.Digest) string {
	return path.Join(AllReferrersOf(repository), string(subject.Algorithm()), subject.Encoded())
}

// Parse takes a path apart. What it does not know, or whose digest is not valid, is Other.
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

// RepositoryOfTags reports whether a folder holds the tags of a repository, and of which.
func RepositoryOfTags(folder string) (string, bool) {
	rest, ok := strings.CutPrefix(folder, Repositories+"/")
	if !ok {
		return "", false
	}
	return strings.CutSuffix(rest, "/"+tags)
}

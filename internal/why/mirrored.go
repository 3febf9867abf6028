package why

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/graph"
	"github.com/nfo-operator/nfo/internal/rewrite"
)

// mirrorOf returns the store of the mirror, or nil if it is not in stores.
func mirrorOf(stores []v1alpha1.ArtifactStore) *v1alpha1.ArtifactStore {
	i := slices.IndexFunc(stores, func(s v1alpha1.ArtifactStore) bool { return s.Spec.Mirror != nil && s.Name == v1alpha1.MirrorName })
	if i < 0 {
		return nil
	}
	return &stores[i]
}

// original returns the image that a name in the mirror is a copy of. Such a name is at the address
// from which pods pull mirrored images, or below the mirror's prefix at any address, because nfo's
// own registry has several addresses. ok is false for other names. mirror may be nil.
func (i image) original(mirror *v1alpha1.ArtifactStore) (original rewrite.Image, ok bool) {
	path, found := strings.CutPrefix(i.Repository, v1alpha1.MirrorPrefix+"/")
	if !found && mirror != nil && mirror.Spec.Mirror.PullAddress != "" {
		pulled, err := v1alpha1.ParseRegistryURL("https://" + mirror.Spec.Mirror.PullAddress)
		if err != nil || !i.at(pulled) {
			return rewrite.Image{}, false
		}
		path, found = strings.TrimPrefix(strings.TrimPrefix(i.Repository, pulled.Prefix), "/"), true
	}
	if !found {
		return rewrite.Image{}, false
	}
	tag := i.Tag
	if _, satellite := graph.SatelliteOf(tag); satellite {
		tag = ""
	}
	return rewrite.FromPath(path, tag, i.Digest.String())
}

// copies returns the Artifacts that are a copy of an image, sorted by namespace and name.
func copies(original rewrite.Image, all []v1alpha1.Artifact) []*v1alpha1.Artifact {
	var found []*v1alpha1.Artifact
	for n := range all {
		source, err := rewrite.Parse(all[n].Spec.SourceArtifact)
		if err != nil {
			continue
		}
		path, tag, digests := source.Named(all[n].Status.Digest)
		same := tag == original.Tag
		if original.Digest != "" {
			same = slices.Contains(digests, original.Digest)
		}
		if path == original.Path() && same {
			found = append(found, &all[n])
		}
	}
	slices.SortFunc(found, func(a, b *v1alpha1.Artifact) int {
		return strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name)
	})
	return found
}

// mirrored returns what keeps a copy in the mirror, according to the manager's last reading, or nil if the image is not a copy.
func (i image) mirrored(ctx context.Context, api client.Reader, namespace string, stores []v1alpha1.ArtifactStore) (*answer, error) {
	mirror := mirrorOf(stores)
	original, ok := i.original(mirror)
	if !ok {
		return nil, nil
	}
	var list v1alpha1.ArtifactList
	_, unseen, err := anywhere(ctx, api, namespace, &list, "artifacts")
	if err != nil {
		return nil, err
	}
	a := aboutCopies(original, copies(original, list.Items), mirror)
	a.Subject = i.Written
	if unseen != "" {
		a.Incomplete = append(a.Incomplete, unseen)
	}
	return a, nil
}

// maxCopies is the maximum number of Artifacts whose remaining time the verdict contains.
const maxCopies = 10

// aboutCopies returns what keeps the given Artifacts, the copies of
// an image. mirror is nil if it is not known. aboutCopies is pure.
func aboutCopies(original rewrite.Image, artifacts []*v1alpha1.Artifact, mirror *v1alpha1.ArtifactStore) *answer {
	all := &answer{}
	says := []string{fmt.Sprintf("It is the mirror's copy of %s.", original)}
	if len(artifacts) == 0 {
		at := v1alpha1.ManagerNamespace
		if mirror != nil {
			at = mirror.Namespace
		}
		says = append(says, fmt.Sprintf("No Artifact of it was found. A purge of the mirror deletes what no Artifact and no workload has needed for the grace period; 'nfo purge -n %s --store %s --dry-run' says what it would delete.", at, v1alpha1.MirrorName))
	}
	for n, a := range artifacts {
		id := v1alpha1.ResourceID(v1alpha1.KindArtifact, a.Namespace, a.Name)
		one := aboutArtifact(a, mirror)
		if one.Kept {
			all.KeptBy = append(all.KeptBy, &link{Object: id, Because: strings.TrimSpace(string(a.Status.State) + " " + a.Status.Digest), KeptBy: one.KeptBy, stands: true})
		}
		for _, text := range one.Incomplete {
			if !slices.Contains(all.Incomplete, text) {
				all.Incomplete = append(all.Incomplete, text)
			}
		}
		if n < maxCopies {
			says = append(says, id+": "+one.Verdict)
		}
	}
	if more := len(artifacts) - maxCopies; more > 0 {
		says = append(says, fmt.Sprintf("'kubectl nfo images --mirror -A' lists %s of it.", v1alpha1.Count(more, "more Artifact", "more Artifacts")))
	}
	all.Kept, all.Roots = len(all.KeptBy) > 0, roots(all.KeptBy)
	all.Verdict = strings.Join(append(says, fmt.Sprintf("'kubectl nfo why %s' says what keeps the image itself.", original)), " ")
	return all
}

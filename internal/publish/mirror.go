package publish

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/plugin"
	"github.com/nfo-operator/nfo/internal/rewrite"
)

// mirrorTarget is the mirror as the target of a publication.
type mirrorTarget struct {
	api   client.Client
	store *v1alpha1.ArtifactStore
	// namespace is where the Artifacts are created.
	namespace string
	// blobs has a repository of the mirror for each blob that was
	// pushed, from which it can be mounted into other repositories.
	blobs map[digest.Digest]string
	// fading are images whose Artifacts were unused before, so that their grace period is already running.
	fading []string
}

// openMirror finds the store of the mirror, and logs in to its registry.
func (f *publishFlags) openMirror(ctx context.Context) (*target, error) {
	failed := func(err error) (*target, error) { return nil, &plugin.Error{Code: plugin.ExitFailed, Err: err} }
	namespace, _, err := f.Config.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return failed(fmt.Errorf("finding the namespace: %w", err))
	}
	api, err := plugin.Connect(f.Config, f.streams)
	if err != nil {
		return failed(err)
	}
	t, err := f.findMirror(ctx, api, namespace)
	if err != nil {
		return failed(err)
	}
	return t, nil
}

func (f *publishFlags) findMirror(ctx context.Context, api client.Client, namespace string) (*target, error) {
	store, err := plugin.Mirror(ctx, api, f.mirrorNamespace)
	if err != nil {
		return nil, err
	}
	t := &target{manifest: &v1alpha1.ArtifactManifest{}, mirror: &mirrorTarget{api: api, store: store, namespace: namespace, blobs: map[digest.Digest]string{}}}
	if err := publishable(t.manifest, store); err != nil {
		return nil, err
	}
	return t, f.openCluster(ctx, api, t, store)
}

// itemsOf returns one item for each source: its image in the mirror. Its error has all faults.
func (t *target) itemsOf(found []candidate) ([]*item, error) {
	var all []*item
	var errs []error
	taken := map[string]string{}
	for n := range found {
		c := &found[n]
		image, err := c.image()
		if err != nil {
			errs = append(errs, err)
			continue
		}
		i := &item{image: image, repository: image.MirrorRepository(), untagged: image.Digest != "", candidate: c}
		i.entry = v1alpha1.ManifestArtifact{ArtifactName: image.Host + "/" + image.Repository, ArtifactVersion: image.Tag}
		if first, ok := taken[i.name()]; ok {
			errs = append(errs, fmt.Errorf("%s and %s are both %s", first, c.written, i.name()))
		}
		taken[i.name()] = c.written
		all = append(all, i)
	}
	if len(errs) > 0 {
		return nil, errors.Join(append(errs, errors.New("nothing was pushed"))...)
	}
	return all, nil
}

// image returns the image for a source: the one on the command line, or else the first full name that the source has.
func (c *candidate) image() (rewrite.Image, error) {
	if c.chart {
		return rewrite.Image{}, fmt.Errorf("%s is a chart, and the mirror has images: publish it for a manifest", c.written)
	}
	names := c.images
	if c.entry != "" {
		names = []string{c.entry}
	}
	for _, name := range names {
		if !isImage(name) {
			continue
		}
		i, err := rewrite.Parse(name)
		if err != nil {
			return i, fmt.Errorf("%s: %w", c.written, err)
		}
		return i, nil
	}
	return rewrite.Image{}, fmt.Errorf("%s does not say which image it is, with the host of its registry: write HOST/REPOSITORY:TAG=%s", c.written, c.written)
}

// decideMirrored returns what is to be done for an image of the mirror.
func (i *item) decideMirrored(overwrite bool) (result, error) {
	want := i.want().Digest
	switch {
	case i.untagged && i.image.Digest != want.String():
		return resultFailed, fmt.Errorf("%s is %s", i.candidate.written, want)
	case i.current.Digest == want:
		return resultPresent, nil
	case i.current.Digest == "":
		return resultPush, nil
	case !overwrite:
		return resultFailed, fmt.Errorf("the mirror has %s at this tag, and %s is %s: --overwrite replaces it, for the pods of all namespaces", i.current.Digest, i.candidate.written, want)
	}
	return resultOverwrite, nil
}

// hold creates the Artifacts that hold the images in the mirror, before anything is pushed.
func (p *publication) hold(ctx context.Context, keep bool) error {
	if p.target.mirror == nil {
		return nil
	}
	for _, i := range p.items {
		a := i.image.Artifact(p.target.mirror.namespace)
		if keep {
			a.Annotations = map[string]string{v1alpha1.AnnotationKeep: "true"}
		}
		if err := p.target.mirror.hold(ctx, a); err != nil {
			i.result, i.err = resultFailed, fmt.Errorf("making the Artifact of %s in namespace %s: %w", i.name(), a.Namespace, err)
			return i.err
		}
	}
	return nil
}

// hold creates an Artifact. If an unused one exists, hold deletes it and creates it anew, so that a
// purge does not count the time before. It leaves the Artifact alone if its state is Present, which
// lets pods use the mirror: while the source does not answer, nothing would record that state again.
func (m *mirrorTarget) hold(ctx context.Context, a *v1alpha1.Artifact) error {
	err := m.api.Create(ctx, a.DeepCopy())
	if !apierrors.IsAlreadyExists(err) {
		return err
	}
	var there v1alpha1.Artifact
	if err := m.api.Get(ctx, client.ObjectKeyFromObject(a), &there); err != nil {
		return err
	}
	switch {
	case there.Spec != a.Spec:
		return fmt.Errorf("its name %s is taken by the Artifact of %s: delete that", there.Name, there.Spec.SourceArtifact)
	case there.Releasing() || !there.DeletionTimestamp.IsZero():
		return errPurged
	case there.Status.UnusedSince == nil || there.Status.State == v1alpha1.MirrorPresent:
		return m.leave(ctx, &there, len(a.Annotations) > 0)
	}
	if there.Kept() {
		metav1.SetMetaDataAnnotation(&a.ObjectMeta, v1alpha1.AnnotationKeep, there.Annotations[v1alpha1.AnnotationKeep])
	}
	return m.renew(ctx, &there, a)
}

// errPurged is the error for an Artifact that a purge has claimed.
var errPurged = errors.New("a purge is removing its copy; run the same command again in a minute")

// renewTimeout is the timeout of each request of renew.
const renewTimeout = 10 * time.Second

// renew deletes an Artifact and creates it anew. Neither an interruption nor one failed request ends it in between:
// an Artifact that stays deleted holds nothing, and the annotation that keeps its copy would be lost with it.
func (m *mirrorTarget) renew(ctx context.Context, there, a *v1alpha1.Artifact) error {
	whole := context.WithoutCancel(ctx)
	request := func(send func(context.Context) error) error {
		ctx, end := context.WithTimeout(whole, renewTimeout)
		defer end()
		return send(ctx)
	}
	deleted := request(func(ctx context.Context) error { // the preconditions fail if a purge has claimed it
		return client.IgnoreNotFound(m.api.Delete(ctx, there, client.Preconditions{UID: &there.UID, ResourceVersion: &there.ResourceVersion}))
	})
	if apierrors.IsConflict(deleted) {
		return errPurged
	}
	var made error
	_ = wait.ExponentialBackoffWithContext(whole, tries, func(context.Context) (bool, error) { // the error is in made
		made = request(func(ctx context.Context) error { return m.api.Create(ctx, a.DeepCopy()) })
		return made == nil || apierrors.IsAlreadyExists(made), nil
	})
	switch {
	case apierrors.IsAlreadyExists(made) && deleted != nil:
		return deleted // the existing Artifact is the old one
	case apierrors.IsAlreadyExists(made): // by a request whose answer was lost, or by the manager for a new pod
		return request(func(ctx context.Context) error {
			if err := m.api.Get(ctx, client.ObjectKeyFromObject(a), there); err != nil {
				return err
			}
			return m.leave(ctx, there, len(a.Annotations) > 0)
		})
	case made != nil && there.Kept():
		return fmt.Errorf("it was deleted, for its grace period to begin anew, and cannot be made again: %w; run the same command again with --keep, for it had the annotation %s", made, v1alpha1.AnnotationKeep)
	case made != nil:
		return fmt.Errorf("it was deleted, for its grace period to begin anew, and cannot be made again: %w; run the same command again", made)
	}
	return nil
}

// leave keeps an Artifact as it is, and adds the annotation that keeps its copy if keep is set.
func (m *mirrorTarget) leave(ctx context.Context, there *v1alpha1.Artifact, keep bool) error {
	switch {
	case there.Kept():
		return nil
	case !keep:
		if there.Status.UnusedSince != nil {
			m.fading = append(m.fading, there.Spec.SourceArtifact)
		}
		return nil
	}
	before := there.DeepCopy()
	metav1.SetMetaDataAnnotation(&there.ObjectMeta, v1alpha1.AnnotationKeep, "true")
	err := m.api.Patch(ctx, there, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})) // unless a purge has claimed it meanwhile
	if apierrors.IsConflict(err) {
		return errors.New("it is being written; run the same command again")
	}
	return err
}

// advise tells the user what else is needed for pods to use the pushed images, and for the images to stay.
func (p *publication) advise(out io.Writer) {
	m := p.target.mirror
	if m != nil && len(m.fading) > 0 {
		fmt.Fprintf(out, "note: the mirror held %s already, and nothing uses it: the grace period counts from before, and --keep ends that\n", v1alpha1.FirstOf(m.fading, 3))
	}
	if m == nil || m.store.Spec.Mirror.Rewrite != v1alpha1.RewritePresent {
		return
	}
	fmt.Fprintln(out, "note: pods pull an image from the mirror once its source has answered to a login of their namespace. "+
		"On a site that does not reach the source, have an administrator set the chart's value mirror.rewrite to Always")
}

// known returns a repository of the mirror that has a blob; "" if none is known.
func (p *publication) known(d digest.Digest) string {
	if p.target.mirror == nil {
		return ""
	}
	return p.target.mirror.blobs[d]
}

// remember records the repository of an image for each of its blobs.
func (p *publication) remember(i *item) {
	if p.target.mirror == nil {
		return
	}
	for d := range i.source.BlobDigests() {
		p.target.mirror.blobs[d] = i.repository
	}
}

// name returns an item as messages show it: the entry, or the image.
func (i *item) name() string {
	if i.image.Host != "" {
		return i.image.String()
	}
	return entryName(i.entry)
}

// reference returns the digest of an item that is given by digest, or else its tag.
func (i *item) reference() string {
	return cmp.Or(i.image.Digest, i.entry.ArtifactVersion)
}

// at returns where an item belongs: host, repository, and tag or digest.
func (p *publication) at(i *item) string {
	separator := ":"
	if strings.Contains(i.reference(), ":") {
		separator = "@"
	}
	return p.target.config.Location.Host + "/" + i.repository + separator + i.reference()
}

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

// mirrorTarget is the mirror, as what is published to.
type mirrorTarget struct {
	api   client.Client
	store *v1alpha1.ArtifactStore
	// namespace is where the Artifacts are made.
	namespace string
	// blobs are where in the mirror blobs are that were pushed, from where they are mounted into other repositories.
	blobs map[digest.Digest]string
	// fading are the images whose Artifacts nothing uses for a time already.
	fading []string
}

// openMirror finds the mirror, and logs in to its registry.
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

// itemsOf says which image of the mirror each source is. Its error says all that is wrong.
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

// image is the image that a source is: what the command line says, or else the first whole name that it has.
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

// decideMirrored says what is to be done for an image of the mirror.
func (i *item) decideMirrored(overwrite bool) (result, error) {
	want := i.want().Digest
	switch {
	case i.untagged && i.image.Digest != want.String():
		return resultFailed, fmt.Errorf("%s is %s", i.candidate.written, want)
	case i.there.Digest == want:
		return resultPresent, nil
	case i.there.Digest == "":
		return resultPush, nil
	case !overwrite:
		return resultFailed, fmt.Errorf("the mirror has %s at this tag, and %s is %s: --overwrite replaces it, for the pods of all namespaces", i.there.Digest, i.candidate.written, want)
	}
	return resultOverwrite, nil
}

// hold makes the Artifacts that hold what is pushed into the mirror, before anything is pushed.
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
			return fmt.Errorf("making the Artifact of %s in namespace %s: %w", i.name(), a.Namespace, err)
		}
	}
	return nil
}

// hold makes an Artifact. One that is there and that nothing uses is made anew, so that a purge does not count the time
// before, unless pods may be sent to the mirror by what its status says: while the source does not answer, nothing would
// write that again.
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

// errPurged: a purge has claimed an Artifact.
var errPurged = errors.New("a purge is removing its copy; run the same command again in a minute")

// renewal is how long each request of renew may take.
const renewal = 10 * time.Second

// renew deletes an Artifact and makes it again. An interruption does not end it in between, nor does one error: an Artifact
// that stays deleted holds nothing, and the annotation that keeps its copy would be lost with it.
func (m *mirrorTarget) renew(ctx context.Context, there, a *v1alpha1.Artifact) error {
	whole := context.WithoutCancel(ctx)
	request := func(send func(context.Context) error) error {
		ctx, end := context.WithTimeout(whole, renewal)
		defer end()
		return send(ctx)
	}
	deleted := request(func(ctx context.Context) error { // unless a purge has claimed it meanwhile
		return client.IgnoreNotFound(m.api.Delete(ctx, there, client.Preconditions{UID: &there.UID, ResourceVersion: &there.ResourceVersion}))
	})
	if apierrors.IsConflict(deleted) {
		return errPurged
	}
	var made error
	_ = wait.ExponentialBackoffWithContext(whole, tries, func(context.Context) (bool, error) { // made is why
		made = request(func(ctx context.Context) error { return m.api.Create(ctx, a.DeepCopy()) })
		return made == nil || apierrors.IsAlreadyExists(made), nil
	})
	switch {
	case apierrors.IsAlreadyExists(made) && deleted != nil:
		return deleted // it was not
	case apierrors.IsAlreadyExists(made): // by a request whose answer was lost, or by the manager for a pod that came meanwhile
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

// leave lets an Artifact be as it is, but for the annotation that keeps its copy.
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

// advise says what else is needed for pods to use what was pushed, and for it to stay.
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

// known is where in the mirror a blob is; "" if that is not known.
func (p *publication) known(d digest.Digest) string {
	if p.target.mirror == nil {
		return ""
	}
	return p.target.mirror.blobs[d]
}

// remember notes where in the mirror the blobs of an image are.
func (p *publication) remember(i *item) {
	if p.target.mirror == nil {
		return
	}
	for d := range i.source.BlobDigests() {
		p.target.mirror.blobs[d] = i.repository
	}
}

// name is an item in messages: the entry, or the image.
func (i *item) name() string {
	if i.image.Host != "" {
		return i.image.String()
	}
	return entryName(i.entry)
}

// reference is what an item is asked for by: its digest, or its tag.
func (i *item) reference() string {
	return cmp.Or(i.image.Digest, i.entry.ArtifactVersion)
}

// at is where an item belongs: host, repository, and tag or digest.
func (p *publication) at(i *item) string {
	separator := ":"
	if strings.Contains(i.reference(), ":") {
		separator = "@"
	}
	return p.target.config.Location.Host + "/" + i.repository + separator + i.reference()
}

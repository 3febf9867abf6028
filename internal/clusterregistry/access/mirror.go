package access

import (
	"context"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/rewrite"
)

// loaderRole is the ClusterRole with the verbs push and pull on the mirror, in config/rbac/tenants.yaml.
const loaderRole = "nfo-mirror-publisher"

// isMirror reports whether a repository is in the mirror, where no manifest lists the content.
func (p *place) isMirror() bool {
	l, err := p.store.Location()
	return err == nil && p.store.Spec.Mirror != nil && p.store.Name == v1alpha1.MirrorName && l.Prefix == v1alpha1.MirrorPrefix
}

// mayUseMirror decides about a repository of the mirror. It requires a right on the mirror's store, because a push
// changes what all namespaces get for the image's name, and a pull can read any namespace's images.
func (c *Controller) mayUseMirror(ctx context.Context, who *identity, p *place, w want) *Refusal {
	verbs := []string{verbPull, verbPush}
	if w.pushes {
		verbs = verbs[1:]
	}
	for _, verb := range verbs {
		allowed, err := c.has(ctx, who, right{verb, resourceStores, p.store.Namespace, p.store.Name})
		switch {
		case err != nil:
			return unavailable(err)
		case allowed && w.pushes:
			return p.checkImagePush(w)
		case allowed:
			return nil
		}
	}
	r := right{verbs[0], resourceStores, p.store.Namespace, p.store.Name}
	return denied("user %q needs %s. An administrator grants it with: kubectl create rolebinding <name> -n %s --clusterrole=%s %s",
		who.name, r, p.store.Namespace, loaderRole, subject(who))
}

// checkImagePush refuses a push to a path that no node would pull from.
func (p *place) checkImagePush(w want) *Refusal {
	if refusal := closedStore(p); refusal != nil {
		return refusal
	}
	if w.putsManifest && w.tagOrDigest == "" {
		return denied("the request names neither a tag nor a digest")
	}
	if _, ok := rewrite.FromPath(p.below, "latest", ""); !ok {
		return denied("no image is at %s: in the mirror HOST:PORT/REPOSITORY is at %s/HOST_PORT/REPOSITORY, with docker.io/library/ before a name alone", p.repository, v1alpha1.MirrorPrefix)
	}
	return nil
}

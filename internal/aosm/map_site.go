package aosm

import (
	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/aosm/arm"
	"github.com/nfo-operator/nfo/internal/aosm/input"
)

func (im *importer) mapSite(r input.Resource) {
	p := r.Properties()
	ref := p.Get("networkServiceDesignVersionResourceReference")
	if arm.Fold(ref.Get("idType").AsText()) == "secret" && !ref.Get("id").There() {
		im.Unmapped(r.Value.Node, "the id of its design is a secret, which AOSM does not tell")
		return
	}
	id, at, ok := im.reference(p, "networkServiceDesignVersionResourceReference")
	if !ok {
		im.Unmapped(r.Value.Node, "which design it is deployed from is not said, or cannot be mapped")
		return
	}
	if id.Type() != arm.TypeDesign {
		im.Unmapped(r.Value.Node, "what it refers to is not a network service design version")
		return
	}
	if !im.isFirstPublisher(id, at) {
		im.left(r.Value.Node, "the site")
		return
	}
	o := &v1alpha1.SiteNetworkService{}
	im.put(o, &o.ObjectMeta, v1alpha1.KindSite, r)
	im.links[len(im.links)-1].in = &o.Namespace
	to := &o.Spec.NetworkServiceDesignVersionRef
	im.inNamespace(&to.Namespace, id, at)
	im.link(&to.Name, v1alpha1.KindDesign, id, nil)
	if o.Namespace = im.options.SiteNamespace; o.Namespace == "" {
		im.inNamespace(&o.Namespace, id, at)
	}
}

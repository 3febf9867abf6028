package aosm

import (
	"github.com/nfo-operator/nfo/api/v1alpha1"
)

func (im *importer) mapSite(r resource) {
	p := r.properties()
	ref := p.get("networkServiceDesignVersionResourceReference")
	if fold(ref.get("idType").text1()) == "secret" && !ref.get("id").there() {
		im.unmapped(r.value.node, "the id of its design is a secret, which AOSM does not tell")
		return
	}
	id, at, ok := im.reference(p, "networkServiceDesignVersionResourceReference")
	if !ok {
		im.unmapped(r.value.node, "which design it is deployed from is not said, or cannot be mapped")
		return
	}
	if id.typ() != typeDesign {
		im.unmapped(r.value.node, "what it refers to is not a network service design version")
		return
	}
	if !im.knows(id, at) {
		im.left(r.value.node, "the site")
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

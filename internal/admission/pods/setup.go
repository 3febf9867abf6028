package pods

import (
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/nfo-operator/nfo/internal/mirrored"
)

// Path is the URL path of the webhook.
const Path = "/mutate-pods"

// Setup registers the webhook with a webhook server.
func Setup(server webhook.Server, facts *mirrored.Facts, uses Uses) {
	server.Register(Path, bounded(&admission.Webhook{Handler: &handler{facts: facts, uses: uses}}))
}

package v1alpha1

// What nfo writes to pods, and reads from them.
const (
	// AnnotationOriginalImages has the images of a pod that were replaced by those of the mirror, as a JSON object:
	// {"containers/upf": "registry.example.com/acme/upf:1.0.0"}.
	AnnotationOriginalImages = "nfo.dev/original-images"
	// AnnotationImageRepairs says how often, and when last, nfo has changed images of a running pod that could not be
	// pulled: "1 2026-01-31T12:00:00Z".
	AnnotationImageRepairs = "nfo.dev/image-repairs"
	// LabelMirror with the value MirrorDisabled keeps a pod's images as they are.
	LabelMirror = "nfo.dev/mirror"
	// MirrorDisabled is the value of LabelMirror.
	MirrorDisabled = "disabled"
)

// Reasons of events on pods.
const (
	// ReasonImageFromMirror: a container whose image could not be pulled now pulls it from the mirror.
	ReasonImageFromMirror = "ImageFromMirror"
	// ReasonImageFromSource: a container whose image the mirror could not give now pulls it from its source.
	ReasonImageFromSource = "ImageFromSource"
)

package v1alpha1

// Bounds of what is kept of charts.
const (
	// MaxImages is how many images a status reports: of all charts of a manifest, or of all applications
	// of a definition. What is beyond is counted, and keeps Complete from True.
	MaxImages = 512
	// MaxValuesPaths is how many paths of each kind a status says that a chart was rendered with.
	MaxValuesPaths = 256
)

// ImageState says where an image that a chart needs is stored.
// +kubebuilder:validation:Enum=InManifest;OtherManifest;Foreign;Missing
type ImageState string

// The states of an image.
const (
	ImageInManifest    ImageState = "InManifest"
	ImageOtherManifest ImageState = "OtherManifest"
	ImageForeign       ImageState = "Foreign"
	ImageMissing       ImageState = "Missing"
)

// OptionalReason says why a chart is deployed by default without an image that it names.
// +kubebuilder:validation:Enum=Test;Dependency;Values
type OptionalReason string

// The reasons for which an image is optional.
const (
	OptionalTest       OptionalReason = "Test"
	OptionalDependency OptionalReason = "Dependency"
	OptionalValues     OptionalReason = "Values"
)

// ChartImage is an image that a chart names, and where it is stored.
type ChartImage struct {
	// As the chart names it. What follows the definition's registryValuesPaths, and so comes from the
	// store, is named without the registry: upf:1.0.0. Without tag and digest any version may be meant.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Image string `json:"image"`
	// InManifest: an artifact of the chart's manifest. OtherManifest: one of another manifest of the
	// store, which the definitions that deploy the chart then hold, too. Foreign: it comes from
	// outside of the store, whatever is set: from another registry, or another prefix of this one. Missing: no
	// manifest of the store lists it, or it is listed at another digest: then repository and manifest say where, and
	// the definitions that deploy the chart hold that manifest, too, for the digest may be one platform of it.
	// +required
	State ImageState `json:"state"`
	// The other manifest.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Manifest string `json:"manifest,omitempty"`
	// Where it is stored, or its tag at another digest: the whole repository name, without the host.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Repository string `json:"repository,omitempty"`
	// The digest that it was last seen at there.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Digest string `json:"digest,omitempty"`
	// True for what is not deployed by default; optionalReason says why.
	// +optional
	Optional bool `json:"optional,omitempty"`
	// Test: only `helm test` applies what names it. Dependency: a template names it only with a dependency that
	// is switched off. Values: the values name it and no template does.
	// +optional
	OptionalReason OptionalReason `json:"optionalReason,omitempty"`
	// The place in the chart that names it, the first one of those that decide whether it is optional: the
	// template, the object's kind and name, and the field; or "values" and the path in them. Only in the status
	// of the manifest.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Place string `json:"place,omitempty"`
}

// ChartStatus is what was read of a chart of a manifest.
type ChartStatus struct {
	// The artifact, as the spec names it.
	// +required
	// +kubebuilder:validation:MaxLength=255
	ArtifactName string `json:"artifactName"`
	// Its version, as the spec names it.
	// +required
	// +kubebuilder:validation:MaxLength=128
	ArtifactVersion string `json:"artifactVersion"`
	// The digest of the artifact that was read.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Digest string `json:"digest,omitempty"`
	// The chart's own name.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Name string `json:"name,omitempty"`
	// The chart's own version.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Version string `json:"version,omitempty"`
	// The version of what it deploys.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	AppVersion string `json:"appVersion,omitempty"`
	// The paths that it was rendered with: those of the definitions that deploy it from this manifest, the
	// first 256 in order. It is rendered once for each combination of paths that definitions set, at most 4, and images
	// are those of all.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=253
	RegistryValuesPaths []string `json:"registryValuesPaths,omitempty"`
	// The paths of pull secrets that it was rendered with, likewise.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=253
	ImagePullSecretsValuesPaths []string `json:"imagePullSecretsValuesPaths,omitempty"`
	// The images that it needs, in order; the first 512 of all charts of a manifest.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=512
	Images []ChartImage `json:"images,omitempty"`
	// How many images it names.
	// +optional
	ImageCount int32 `json:"imageCount,omitempty"`
	// Why there may be more images than are listed, and with the paths of which definitions if not of all. Empty when
	// all of it could be read.
	// +optional
	// +kubebuilder:validation:MaxLength=1100
	Problem string `json:"problem,omitempty"`
	// What was noticed that concerns no needed image, such as that a dependency which is switched off cannot be
	// rendered, so that not all optional images are known.
	// +optional
	// +kubebuilder:validation:MaxLength=1100
	Remark string `json:"remark,omitempty"`
	// How it was read: the revision of nfo's chart reader, its limits if one of them ended the reading, and a hash of
	// the combinations of paths. The manager reads the chart again if one of these has changed.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Reader string `json:"reader,omitempty"`
}

// ApplicationStatus is what an application of a definition is deployed from.
type ApplicationStatus struct {
	// The application's name.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// The manifest that lists the chart.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Manifest string `json:"manifest"`
	// The chart's artifactName there.
	// +required
	// +kubebuilder:validation:MaxLength=255
	ArtifactName string `json:"artifactName"`
	// The artifactVersion that helmPackageVersionRange chooses.
	// +required
	// +kubebuilder:validation:MaxLength=128
	ArtifactVersion string `json:"artifactVersion"`
	// Where it is stored: the whole repository name, without the host.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Repository string `json:"repository,omitempty"`
	// The digest that it was at. Of an Active or Deprecated definition the first one stays, and no
	// purge takes it, also when the tag is overwritten.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Digest string `json:"digest,omitempty"`
	// The images that the chart needs; at most 512 of all applications together, those in other
	// manifests first.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=512
	Images []ChartImage `json:"images,omitempty"`
	// How many images it needs. Absent until the chart was read.
	// +optional
	ImageCount *int32 `json:"imageCount,omitempty"`
}

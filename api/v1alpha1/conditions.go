package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Condition types. Every kind has Ready. Messages are one sentence for people and name
// objects as resource/namespace/name.
const (
	// ConditionReady sums the others up.
	ConditionReady = "Ready"
	// ConditionUploaded of a manifest: every listed artifact is in the registry.
	ConditionUploaded = "Uploaded"
	// ConditionComplete of a manifest: the images that its charts need are in it, or in other manifests
	// of the store. It says nothing of the upload.
	ConditionComplete = "Complete"
	// ConditionReferenced: something holds the object (True/InUse), nothing does
	// (False/Unreferenced), or it is not known (Unknown).
	ConditionReferenced = "Referenced"
	// ConditionDeletionBlocked is there while an object is being deleted.
	ConditionDeletionBlocked = "DeletionBlocked"
	// ConditionUntagged of a manifest is there while it is being deleted.
	ConditionUntagged = "Untagged"
	// ConditionResolved of a definition or design: all that it names exists and is admitted, and the
	// manifests that it names list the artifacts.
	ConditionResolved = "Resolved"
	// ConditionMigrated of a manifest, definition or design: it is in the form of AOSM's 2025-03-30 API,
	// and so is what names it.
	ConditionMigrated = "Migrated"
	// ConditionReachable of a store: the registry answers and accepts the credentials.
	ConditionReachable = "Reachable"
	// ConditionPurgeHealthy of a store: purges are scheduled and the last one succeeded.
	ConditionPurgeHealthy = "PurgeHealthy"
)

// Reasons of conditions, and of the events that tell of their transitions.
const (
	// Ready.

	// ReasonReady: all is as declared.
	ReasonReady = "Ready"
	// ReasonDeleting: the object is being deleted; DeletionBlocked says what it waits for.
	ReasonDeleting = "Deleting"

	// DeletionBlocked, Referenced.

	// ReasonInUse: an object holds this one.
	ReasonInUse = "InUse"
	// ReasonUnreferenced: nothing holds it.
	ReasonUnreferenced = "Unreferenced"
	// ReasonReleased: nothing holds it and it has been released.
	ReasonReleased = "Released"
	// ReasonReleasing: a purge removes the copy of an Artifact from the mirror, because nothing uses it.
	ReasonReleasing = "Releasing"
	// ReasonUnknown: not known yet.
	ReasonUnknown = "Unknown"
	// ReasonHoldersUnknown: objects that may reference this one cannot be listed reliably, such as while
	// their CustomResourceDefinition is missing or newer than this object.
	ReasonHoldersUnknown = "HoldersUnknown"
	// ReasonWorkloadsUnreadable: it cannot be read what the workloads run that spec.workloads of the store selects.
	// Everything of the store stays; status.workloads says what is missing.
	ReasonWorkloadsUnreadable = "WorkloadsUnreadable"

	// ReasonInvalidAnnotation: nfo.dev/on-delete has a value that it does not know, or
	// nfo.dev/restore-digest one that nothing can be done for.
	ReasonInvalidAnnotation = "InvalidAnnotation"

	// Uploaded, Untagged.

	// ReasonComplete: every listed artifact is there.
	ReasonComplete = "Complete"
	// ReasonMissing: at least one artifact is not in the registry.
	ReasonMissing = "Missing"
	// ReasonTampered: a tag of a sealed manifest points at another digest than the sealed one.
	ReasonTampered = "Tampered"
	// ReasonTagMoved: a tag points at another digest than before.
	ReasonTagMoved = "TagMoved"
	// ReasonRestoring: tags that are missing are being restored from a tombstone.
	ReasonRestoring = "Restoring"
	// ReasonRestored: tags were restored, from a tombstone or to the digest they were sealed at.
	ReasonRestored = "Restored"
	// ReasonUndoLost: the registry says that a tombstone's digest does not exist.
	ReasonUndoLost = "UndoLost"
	// ReasonTagTaken: the tag of a tombstone's entry is at another digest, which a restore never overwrites.
	ReasonTagTaken = "TagTaken"
	// ReasonLost: a purge deleted a digest that something needs, and could not put it back.
	ReasonLost = "Lost"
	// ReasonUntagged: the tags are removed and recorded in a tombstone.
	ReasonUntagged = "Untagged"
	// ReasonPending: not done yet.
	ReasonPending = "Pending"
	// ReasonUnprotected: an object was deleted after somebody had removed its finalizer. Of events only.
	ReasonUnprotected = "Unprotected"
	// ReasonEntryInUse: an entry left the spec while a holder names the manifest; it is kept.
	ReasonEntryInUse = "EntryInUse"
	// ReasonNotOurs: nothing was done in the registry: orphaned, store-scoped, inert store, or
	// a namespace being deleted.
	ReasonNotOurs = "NotTouched"

	// Store.

	// ReasonReachable: the registry answers.
	ReasonReachable = "Reachable"
	// ReasonPathConflict: a store that was Ready first, or is older, has an equal or overlapping URL; this
	// store does nothing.
	ReasonPathConflict = "PathConflict"
	// ReasonPlaceRefused: the administrator's list of places does not let the store's namespace use its URL;
	// the store is inert.
	ReasonPlaceRefused = "PlaceRefused"
	// ReasonInvalidURL: the URL cannot be parsed.
	ReasonInvalidURL = "InvalidURL"
	// ReasonClusterRegistryDisabled: the store is in the cluster's own registry, which is not enabled.
	ReasonClusterRegistryDisabled = "ClusterRegistryDisabled"
	// ReasonAddressRefused: the registry, or what it leads to, is at an address that is not connected to.
	ReasonAddressRefused = "AddressRefused"
	// ReasonInvalidCABundle: caBundle holds no certificate.
	ReasonInvalidCABundle = "InvalidCABundle"
	// ReasonSecretNotFound: the named Secret does not exist.
	ReasonSecretNotFound = "SecretNotFound"
	// ReasonSecretInvalid: the named Secret cannot be read as credentials.
	ReasonSecretInvalid = "SecretInvalid"
	// ReasonDenied: the registry refuses the credentials, or what they may do.
	ReasonDenied = "Denied"
	// ReasonUnavailable: the registry does not answer, or its certificate is not trusted.
	ReasonUnavailable = "Unavailable"
	// ReasonUnsupported: the registry does not offer what is asked for.
	ReasonUnsupported = "Unsupported"
	// ReasonUnreadable: the registry's answer cannot be trusted or understood.
	ReasonUnreadable = "Unreadable"
	// ReasonStoreNotFound: the store that is named does not exist.
	ReasonStoreNotFound = "StoreNotFound"
	// ReasonStoreNotReady: the store that is named is not ready.
	ReasonStoreNotReady = "StoreNotReady"

	// PurgeHealthy.

	// ReasonScheduled: the CronJob is there and no purge has ended yet.
	ReasonScheduled = "Scheduled"
	// ReasonSucceeded: the last purge succeeded.
	ReasonSucceeded = "Succeeded"
	// ReasonFailed: the last purge failed, or its Job did.
	ReasonFailed = "Failed"
	// ReasonFailedCreate: the API server refuses the pod of a purge's Job, such as for a quota.
	ReasonFailedCreate = "FailedCreate"
	// ReasonNotStarted: a purge's Job exists for more than a minute and its pod does not run.
	ReasonNotStarted = "NotStarted"
	// ReasonLate: no purge has started within 10 minutes after it was due by the schedule.
	ReasonLate = "Late"
	// ReasonInvalidSchedule: the API server refuses the CronJob, for its schedule or time zone.
	ReasonInvalidSchedule = "InvalidSchedule"
	// ReasonNameTaken: another object has the name of the store's CronJob, ServiceAccount or RoleBinding.
	ReasonNameTaken = "NameTaken"
	// ReasonSuspended: spec.purge.suspend, or an empty schedule.
	ReasonSuspended = "Suspended"
	// ReasonCronJobDisabled: the manager was started without a purger image.
	ReasonCronJobDisabled = "CronJobDisabled"
	// ReasonMayShareRegistry: another store may be in the same registry under another host name, so that
	// purges delete nothing.
	ReasonMayShareRegistry = "MayShareRegistry"
	// ReasonUsageUnknown: there is a threshold and no usage to compare it with.
	ReasonUsageUnknown = "UsageUnknown"

	// Resolved.

	// ReasonResolved: all that is named exists and cannot be released any more.
	ReasonResolved = "Resolved"
	// ReasonNotFound: something named does not exist.
	ReasonNotFound = "NotFound"
	// ReasonTerminating: something named is being deleted.
	ReasonTerminating = "Terminating"
	// ReasonStoreReference: the old form, a reference to a store.
	ReasonStoreReference = "StoreReference"
	// ReasonStoreScoped: a manifest named is still StoreScoped.
	ReasonStoreScoped = "StoreScoped"

	// ReasonNotListed: a manifest does not list the artifact that is named, or none of that version.
	ReasonNotListed = "NotListed"

	// Complete.

	// ReasonMissingImage: no manifest of the store lists an image that a chart needs.
	ReasonMissingImage = "MissingImage"
	// ReasonForeignImage: a chart names an image outside of the store, whatever registryValuesPaths set.
	ReasonForeignImage = "ForeignImage"
	// ReasonOtherManifest: an image that a chart needs is in another manifest of the store.
	ReasonOtherManifest = "OtherManifest"
	// ReasonChartUnreadable: not all of a chart can be read, so that it may need more.
	ReasonChartUnreadable = "ChartUnreadable"

	// Ready of an Artifact.

	// ReasonPresent: the mirror has all of the image.
	ReasonPresent = "Present"
	// ReasonCopying: the image is being copied, or waits for its turn.
	ReasonCopying = "Copying"
	// ReasonCorrupt: something of the copy is missing or damaged.
	ReasonCorrupt = "Corrupt"
	// ReasonInvalidImage: spec.sourceArtifact is not a full image reference.
	ReasonInvalidImage = "InvalidImage"
	// ReasonNotMirrored: the mirror does not copy this image.
	ReasonNotMirrored = "NotMirrored"
	// ReasonNoPlatform: the image has none of the platforms that the mirror copies.
	ReasonNoPlatform = "NoPlatform"
	// ReasonMirrorNotReady: the mirror's store does not exist, or cannot be used.
	ReasonMirrorNotReady = "MirrorNotReady"

	// Migrated.

	// ReasonMigrated: nothing is left in the old form.
	ReasonMigrated = "Migrated"
)

// TagDeleteUnsupported begins the reason of a tombstone's entry whose tag the registry would not
// remove alone: the tag is there still, and ours to remove with its digest.
const TagDeleteUnsupported = "TagDeleteUnsupported"

// Annotations that people set.
const (
	// AnnotationOnDelete on a manifest or store, with the value OnDeleteOrphan, lets it go
	// without touching the registry (still not while held).
	AnnotationOnDelete = "nfo.dev/on-delete"
	// OnDeleteOrphan is the one value of AnnotationOnDelete.
	OnDeleteOrphan = "Orphan"
	// AnnotationRestoreDigest on a sealed, manifest-scoped manifest, with the digest that an entry
	// of it was recorded at (sha256:...), asks once to put the tags back that were recorded there
	// and are Moved or Missing, also over what was pushed there since: a tombstone keeps that. The
	// operator removes the annotation when it is done. Ignored while the manifest is being deleted.
	AnnotationRestoreDigest = "nfo.dev/restore-digest"
	// AnnotationSealedDigests on a sealed, manifest-scoped manifest records at which digests its artifacts
	// were sealed, in their order, separated by commas, so that a lost status does not lose the seal. Written
	// by the operator.
	AnnotationSealedDigests = "nfo.dev/sealed-digests"
	// AnnotationObjectsRestored on a CustomResourceDefinition of this group, or of a source of workloads, with any value,
	// says that all objects of its kind are there again after it was deleted and applied again.
	AnnotationObjectsRestored = "nfo.dev/objects-restored"
	// AnnotationExpireNow on a tombstone, with any value, ends its grace at once.
	AnnotationExpireNow = "nfo.dev/expire-now"
	// AnnotationIgnore on a Secret in which Helm keeps the record of a release, with any value, excludes it: the
	// operator does not read the record, and what it names is not in use by it.
	AnnotationIgnore = "nfo.dev/ignore"
	// AnnotationKeep on an Artifact, with any value, keeps its copy in the mirror although no workload uses it.
	AnnotationKeep = "nfo.dev/keep"
	// AnnotationReconcileNow on a manifest or an Artifact, with any value that it did not have before, has the operator
	// ask the registry for it now. On a store it does so for all of the store's manifests, or Artifacts, and has the
	// operator read again what workloads run, and find out again at the next release whether the registry can remove a
	// tag alone. Each value counts once; see ReconcileNow.
	AnnotationReconcileNow = "nfo.dev/reconcile-now"
)

// Annotations are those that the operator reads, of objects of its kinds, of their CustomResourceDefinitions and of
// Secrets with release records. The others are not kept in its memory.
var Annotations = []string{AnnotationOnDelete, AnnotationRestoreDigest, AnnotationSealedDigests, AnnotationObjectsRestored, AnnotationExpireNow, AnnotationIgnore, AnnotationKeep, AnnotationReconcileNow}

// Finalizer is on every object of this group except Tombstones and Artifacts: deletion waits for the operator.
const Finalizer = "nfo.dev/protect"

// ConditionsOf returns the status conditions of an object of this package; nil for any other.
func ConditionsOf(o any) []metav1.Condition {
	switch o := o.(type) {
	case *ArtifactStore:
		return o.Status.Conditions
	case *ArtifactManifest:
		return o.Status.Conditions
	case *Tombstone:
		return o.Status.Conditions
	case *Artifact:
		return o.Status.Conditions
	case interface{ VersionStatus() *VersionStatus }:
		return o.VersionStatus().Conditions
	}
	return nil
}

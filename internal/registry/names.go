package registry

import (
	"context"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nfo-operator/nfo/internal/registry/admin"
	"github.com/nfo-operator/nfo/internal/registry/credential"
	"github.com/nfo-operator/nfo/internal/registry/failure"
	"github.com/nfo-operator/nfo/internal/registry/oci"
	"github.com/nfo-operator/nfo/internal/registry/wire"
)

// The types of the packages below that a Client takes and returns,
// so that a caller of a Client needs to import only this package.
type (
	// Config says how to reach one store's registry.
	Config = wire.Config
	// Addresses says to which addresses a client connects.
	Addresses = wire.Addresses
	// Budget bounds the memory that reading from registries takes.
	Budget = wire.Budget
	// ClusterRegistry is how a program reaches the cluster's own registry.
	ClusterRegistry = wire.ClusterRegistry
	// Credential is the login to a registry.
	Credential = credential.Credential
	// Manifest is an image manifest as it is stored, and what it references.
	Manifest = oci.Manifest
	// Source is an artifact that can be copied into a repository.
	Source = oci.Source
	// Selection says which children of an index are read.
	Selection = oci.Selection
	// Satellite is an artifact that is attached to an image manifest.
	Satellite = oci.Satellite
	// Disk is how full the volume of the cluster's own registry is.
	Disk = admin.Disk
	// Collection is what the cluster's own registry reports of its collections.
	Collection = admin.Collection
	// Unreferenced is a manifest that nothing in the cluster's own registry references.
	Unreferenced = admin.Unreferenced
)

// The values of Addresses; see wire.Addresses.
const (
	AnyAddress        = wire.AnyAddress
	RemoteAddresses   = wire.RemoteAddresses
	RemoteAndLoopback = wire.RemoteAndLoopback
)

// The media types of docker's manifests, and the maximum size of a manifest in bytes; see package oci.
const (
	MediaTypeDockerManifest     = oci.MediaTypeDockerManifest
	MediaTypeDockerManifestList = oci.MediaTypeDockerManifestList
	MaxManifestBytes            = oci.MaxManifestBytes
)

// SecondLook is how long the registry must have reported that something does not exist before that may be acted on.
const SecondLook = failure.SecondLook

// The classes of errors; see package failure. Every error of a Client wraps one of these.
var (
	ErrNotFound    = failure.ErrNotFound
	ErrDenied      = failure.ErrDenied
	ErrProtected   = failure.ErrProtected
	ErrUnsupported = failure.ErrUnsupported
	ErrUnavailable = failure.ErrUnavailable
	ErrUnreadable  = failure.ErrUnreadable
	ErrTagTaken    = failure.ErrTagTaken
	ErrCredentials = failure.ErrCredentials
	ErrConfig      = failure.ErrConfig

	ErrAddress           = wire.ErrAddress
	ErrNotSent           = wire.ErrNotSent
	ErrNoClusterRegistry = wire.ErrNoClusterRegistry
)

// RetryAfter returns how long the registry asked to wait in the answer that err came from; see failure.RetryAfter.
func RetryAfter(err error) time.Duration { return failure.RetryAfter(err) }

// SettlesIn returns how much longer the registry must report that something does not exist; see failure.SettlesIn.
func SettlesIn(err error) time.Duration { return failure.SettlesIn(err) }

// OfOne reports whether an error concerns only the requested object; see failure.OfOne.
func OfOne(err error) bool { return failure.OfOne(err) }

// BeginBefore returns a context under which no request is sent after t; see wire.BeginBefore.
func BeginBefore(ctx context.Context, t time.Time) context.Context { return wire.BeginBefore(ctx, t) }

// AddressesOf returns the addresses to which a program in a cluster connects; see wire.AddressesOf.
func AddressesOf(allowLoopback bool) Addresses { return wire.AddressesOf(allowLoopback) }

// NewBudget makes a budget of which one tenant uses at most a fraction of 1/parts; see wire.NewBudget.
func NewBudget(parts int64) *Budget { return wire.NewBudget(parts) }

// Elsewhere reports whether a blob is stored outside of registries; see oci.Elsewhere.
func Elsewhere(d ocispec.Descriptor) bool { return oci.Elsewhere(d) }

// ParseManifest reads the body of a manifest; see oci.ParseManifest.
func ParseManifest(contentType string, data []byte) (Manifest, error) {
	return oci.ParseManifest(contentType, data)
}

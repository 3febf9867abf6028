package registry

import (
	"github.com/nfo-operator/nfo/internal/registry/credential"
	"github.com/nfo-operator/nfo/internal/registry/failure"
	"github.com/nfo-operator/nfo/internal/registry/oci"
	"github.com/nfo-operator/nfo/internal/registry/wire"
)

// The types of the rooms below that a Client takes and returns, so that who has a Client needs this package alone.
type (
	// Config says how to reach one store's registry.
	Config = wire.Config
	// Addresses says to which addresses a client connects.
	Addresses = wire.Addresses
	// Budget bounds the memory that reading from registries takes.
	Budget = wire.Budget
	// ClusterRegistry is how a program reaches the cluster's own registry.
	ClusterRegistry = wire.ClusterRegistry
	// Credential is what a registry's login takes.
	Credential = credential.Credential
	// Manifest is an image manifest as it is stored, and what it names.
	Manifest = oci.Manifest
	// Source is an artifact that can be copied into a repository.
	Source = oci.Source
	// Satellite is what is attached to an image manifest.
	Satellite = oci.Satellite
)

// To which addresses a client connects; see wire.Addresses.
const (
	AnyAddress        = wire.AnyAddress
	RemoteAddresses   = wire.RemoteAddresses
	RemoteAndLoopback = wire.RemoteAndLoopback
)

// SecondLook is how long the registry must have said that something does not exist before that may be acted on.
const SecondLook = failure.SecondLook

// What can go wrong; see package failure. Every error of a Client wraps one of these.
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

// Package failure defines the errors of registries.
//
// Contract: every error about a registry wraps one of the sentinels here (several, if one
// call failed in several ways) and contains no secret. [SettlesIn] returns how much longer
// a registry must report that something does not exist before a caller may act on it (I2).
package failure

// Package failure says what can go wrong with a registry.
//
// Contract: every error about a registry wraps one of the sentinels here (several, where one call has failed at several
// things) and repeats no secret. [SettlesIn] tells how long a registry must go on saying that something does not exist
// before that may be acted on (I2).
package failure

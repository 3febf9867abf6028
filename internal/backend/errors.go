package backend

import "errors"

// ErrSecretNotFound is returned when the store references a Secret that does not exist.
var ErrSecretNotFound = errors.New("the Secret does not exist")

// ErrCABundle is returned when the store's caBundle contains no certificate.
var ErrCABundle = errors.New("caBundle holds no PEM certificate")

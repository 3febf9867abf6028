package backend

import "errors"

// ErrSecretNotFound says: the store names a Secret that does not exist.
var ErrSecretNotFound = errors.New("the Secret does not exist")

// ErrCABundle says: nothing in the store's caBundle is a certificate.
var ErrCABundle = errors.New("caBundle holds no PEM certificate")

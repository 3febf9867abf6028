// Package token gets tokens with which users and pipelines log in to the cluster's own registry.
//
// Contract: [Registry] returns the connection to the registry of a store, [Request] asks the API server
// for a token of a ServiceAccount, and [Own] returns the user's own token if the registry would accept it.
//
// Decision: the user's own token goes to the registry only after the API server has accepted it for the registry's
// audience. Rejected: trying it at the registry, which would then hold a token with all rights of the user.
package token

// Package manager keeps secrets from services such as Vault or AWS Secrets Manager current:
// each secret is fetched on first use, checked again every few seconds, and kept while its
// service is unavailable. It owns what all such services share, including HTTP calls; each
// service's specifics are in a package of their own.
//
// Files, each of which uses only those before it: error.go, manager.go, reach.go, call.go, entry.go,
// keeper.go.
package manager

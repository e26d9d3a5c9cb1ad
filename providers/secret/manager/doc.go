// Package manager keeps what services such as Vault or AWS Secrets Manager know current:
// each secret is fetched once, looked at again every few seconds, and kept while its
// service is away. It owns what all such services share, their calls over HTTP included;
// what is special to one stands in its own package.
//
// Files, each of which uses only those before it: error.go, manager.go, call.go, entry.go,
// keeper.go.
package manager

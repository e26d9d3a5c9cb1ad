// Package vault reads and writes secrets of HashiCorp Vault and OpenBao: the key-value
// engine in both versions, and every other engine that gives out what can be read at a
// path, with its leases. It logs in by a token, an AppRole, a service account of
// Kubernetes or a JWT.
//
// Files, each of which uses only those before it: vault.go, login.go, lease.go, kv.go,
// grants.go.
package vault

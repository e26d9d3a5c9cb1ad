// Package vault reads and writes secrets in HashiCorp Vault and OpenBao: both versions of the
// key-value engine, and every other engine whose secrets can be read at a path, with their
// leases. It logs in with a token, an AppRole, a Kubernetes service account or a JWT.
//
// Files, each of which uses only those before it: vault.go, login.go, lease.go, kv.go,
// grants.go.
package vault

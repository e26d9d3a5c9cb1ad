// Package secret turns references such as env:NAME and file:/path into credentials. It owns
// where they are read from, and ensures that they are never printed. It does not know what
// they are for, and stores none. Secrets in external services, such as
// vault:kv/data/path#field, are read by package manager.
package secret

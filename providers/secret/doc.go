// Package secret turns references such as env:NAME and file:/path into
// credentials. It owns where they are read from and that they do not print; it
// does not own what they are for, and it keeps none. What services keep, such as
// vault:kv/data/path#field, package manager reads.
package secret

// Package secret turns references such as env:NAME and file:/path into
// credentials. It owns where they are read from and that they do not print; it
// does not own what they are for, and it keeps none.
package secret

// Package upstream applies the providers and credentials that administrators have stored:
// it decrypts them, merges them with the configuration, and calls providers to test, create
// or revoke a credential.
package upstream

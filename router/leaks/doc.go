// Package leaks is the listener that is told of secrets which were found in public, in the
// form of GitHub's secret scanning partners: a list of tokens, signed with ECDSA P-256.
package leaks

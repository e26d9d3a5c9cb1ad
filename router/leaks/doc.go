// Package leaks is the listener that receives reports of secrets found in public, in the format
// of GitHub's secret scanning partner program: a list of tokens, signed with ECDSA P-256.
package leaks

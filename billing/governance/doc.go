// Package governance is the organisation's rules for its keys: what they are, which of
// them a key or a configuration breaks and how that is mended, the signed report of it,
// and the policy that an organisation writes down, from the rules and the configuration
// that are in force. It decides and writes texts, and keeps nothing.
//
// It has nothing to do with package policy, by which requests are allowed.
//
// Its files, each of which uses only those before it: rules.go, finding.go, keys.go,
// setup.go, plain.go, standards.go, document.go.
package governance

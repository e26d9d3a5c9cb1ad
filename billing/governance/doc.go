// Package governance is the organisation's rules for its keys: the rules themselves, which
// of them a key or a configuration breaks and how to fix that, the signed report on it, and
// the written policy, generated from the rules and the configuration in force. It decides
// and generates text, and stores nothing.
//
// It is unrelated to package policy, which decides which requests are allowed.
//
// Its files, each of which only uses those before it: rules.go, finding.go, keys.go,
// setup.go, plain.go, standards.go, document.go.
package governance

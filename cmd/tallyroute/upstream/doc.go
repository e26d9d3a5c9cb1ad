// Package upstream takes up the providers and credentials that administrators have stored:
// it opens what is sealed, puts it beside what the configuration says, and calls providers
// to try a credential, to make one or to end one.
package upstream

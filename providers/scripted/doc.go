// Package scripted is an upstream for tests that speaks every wire format, answers as a
// script says, fails as it is told, and keeps a bill that the ledger can be held against.
//
// The files, from the ground up; each uses only those above it:
//
//	script.go                          what is asked and answered
//	openai.go, anthropic.go, responses.go,
//	gemini.go, bedrock.go, others.go   the formats
//	upstream.go                        the server
package scripted

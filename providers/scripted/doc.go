// Package scripted is an upstream for tests that speaks every wire format, answers as a
// script says, fails on request, and keeps a bill to compare the ledger with.
//
// The files, from the ground up; each uses only those above it:
//
//	script.go                          requests and replies
//	openai.go, anthropic.go, responses.go,
//	gemini.go, bedrock.go, others.go   the formats
//	upstream.go                        the server
package scripted

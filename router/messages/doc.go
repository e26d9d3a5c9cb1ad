// Package messages is Anthropic's Messages API as an entrance: its requests become chat
// completion requests, and chat completions, whole or streamed, become its messages and events.
// It is pure; who may ask, what it costs and who answers is decided in between, by router.
//
// The format is documented at https://docs.anthropic.com/en/api/messages.
//
// The files, from the bottom up; each uses only those above it in this list:
//
//	aside.go             what has no place in a chat completion
//	tools.go, turns.go   what a request holds
//	request.go           a request
//	usage.go, answer.go  a whole answer
//	stream.go            a streamed one
//	failure.go           errors
package messages

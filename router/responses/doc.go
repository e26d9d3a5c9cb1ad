// Package responses is OpenAI's Responses API as an entrance: its requests become chat
// completion requests, and chat completions, whole or streamed, become its responses and
// events. It is pure: what a model needs to see again travels in the items, and stored
// responses are kept elsewhere.
//
// The format is documented at https://platform.openai.com/docs/api-reference/responses.
//
// The files, from the bottom up; each uses only those above it in this list:
//
//	aside.go             what has no place in a chat completion
//	names.go             names of tools in namespaces
//	content.go, items.go what the input holds
//	past.go              what is kept of a request
//	tools.go, request.go a request
//	compact.go           one to compact a conversation
//	response.go          what all answers tell of their request
//	item.go              the items of an answer
//	list.go              those that are kept
//	stream.go            an answer, whole or streamed
//	pass.go              one of a provider that speaks the format
package responses

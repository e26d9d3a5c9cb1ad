// Package chat handles the wire format of chat completions: requests, responses, chunks and
// errors in the OpenAI format, kept as the bytes that arrived plus views of the few members
// that a router reads. It never decodes a body into a struct and encodes it again.
package chat

// Package sse reads and writes text/event-stream according to the WHATWG standard, in bounded
// memory. It knows nothing about the content of the events.
package sse

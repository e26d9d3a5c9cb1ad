// Package sse reads and writes text/event-stream by the rules of the WHATWG, in
// bounded memory. It knows nothing of what the events say.
package sse

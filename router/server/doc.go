// Package server is the public listener: routes, limits on what a client may
// take up, event streams, and errors as OpenAI JSON. What a completion is, who
// may have it and what it costs is decided by router; keys and budgets are
// managed on the admin listener.
package server

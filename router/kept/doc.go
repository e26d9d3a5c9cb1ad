// Package kept stores responses for their keys, so that a client can continue from one, read it
// again and delete it. What the database sees of them is sealed, bounded and deleted when it
// expires; another key's responses appear not to exist.
package kept

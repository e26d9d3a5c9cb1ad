// Package kept keeps responses for their keys, so that a client can go on from one, read
// it again and delete it. What the database sees of them is sealed, bounded and gone when
// its time is over; another key's responses are as if they never were.
package kept

package billing

import (
	"context"
	"errors"
	"time"
)

// StoredResponse is a response that is kept for its key: what was asked and answered is
// sealed.
type StoredResponse struct {
	ID        string
	KeyID     KeyID
	Temporary string // id of the temporary key that it was asked with; "" for none
	Previous  string // id of the response that it goes on from; "" for none
	CreatedAt time.Time
	ExpiresAt time.Time
	Sealed    []byte
}

// ResponseBounds are how much is kept, of one key and in all.
type ResponseBounds struct {
	Responses int64 // of one key
	KeyBytes  int64 // of one key
	Bytes     int64 // of all keys
}

var (
	// ErrNoResponse is a response that is not there: it never was, belongs to another key,
	// was deleted or has expired.
	ErrNoResponse = errors.New("billing: no such response")
	// ErrResponsesFull is a response that is not kept, for lack of room.
	ErrResponsesFull = errors.New("billing: no room to keep a response")
	// ErrLongConversation is a conversation that is larger than may be read.
	ErrLongConversation = errors.New("billing: the conversation is too long")
)

// StoredResponses keeps responses for their keys, for a time.
type StoredResponses interface {
	// StoreResponse keeps a response. The oldest of the key make room for it; where that
	// of all keys is used up, it is ErrResponsesFull. Twice is once.
	StoreResponse(ctx context.Context, r StoredResponse, within ResponseBounds) error
	// Response is one of the key's own. ErrNoResponse.
	Response(ctx context.Context, key KeyID, id string, now time.Time) (StoredResponse, error)
	// Conversation is a response and those that it goes on from, the first of them first.
	// ErrNoResponse where one of them is not there, ErrLongConversation where together
	// they have more bytes than most.
	Conversation(ctx context.Context, key KeyID, id string, most int64, now time.Time) ([]StoredResponse, error)
	// DeleteResponse removes one of the key's own. ErrNoResponse.
	DeleteResponse(ctx context.Context, key KeyID, id string, now time.Time) error
	// ExpireResponses removes what is past its time and says how much that was.
	ExpireResponses(ctx context.Context, now time.Time) (int, error)
}

// CheckConversation is why the responses that were found are not the whole of a
// conversation, the first of them first; nil where they are.
func CheckConversation(list []StoredResponse, most int64) error {
	var size int64
	for _, r := range list {
		size += int64(len(r.Sealed))
	}
	switch {
	case size > most:
		return ErrLongConversation
	case len(list) == 0 || list[0].Previous != "":
		return ErrNoResponse
	}
	return nil
}

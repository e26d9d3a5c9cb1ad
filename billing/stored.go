package billing

import (
	"context"
	"errors"
	"time"
)

// StoredResponse is a response stored for its key, with the request and the answer
// sealed.
type StoredResponse struct {
	ID        string
	KeyID     KeyID
	Temporary string // id of the temporary key that made the request; "" for none
	Previous  string // id of the response that it continues; "" for none
	CreatedAt time.Time
	ExpiresAt time.Time
	Sealed    []byte
}

// About returns what the sealed text is bound to: moved to another row, it can't be opened.
func (r StoredResponse) About() string { return "response " + r.ID + " of " + string(r.KeyID) }

// ResponseBounds limit how much is stored, per key and in total.
type ResponseBounds struct {
	Responses int64 // of one key
	KeyBytes  int64 // of one key
	Bytes     int64 // of all keys
}

var (
	// ErrNoResponse means that there is no such response: it never existed, belongs to
	// another key, was deleted or has expired.
	ErrNoResponse = errors.New("billing: no such response")
	// ErrResponsesFull means that a response was not stored for lack of room.
	ErrResponsesFull = errors.New("billing: no room to keep a response")
	// ErrLongConversation means that a conversation is larger than the caller allows.
	ErrLongConversation = errors.New("billing: the conversation is too long")
)

// ResealBytes is about how many bytes of responses are sealed again at once.
const ResealBytes = 8 << 20

// StoredResponses stores responses for their keys, for a limited time.
type StoredResponses interface {
	// StoreResponse stores a response. The key's oldest responses make room for it;
	// where the limit for all keys is reached, it returns ErrResponsesFull. It is
	// idempotent.
	StoreResponse(ctx context.Context, r StoredResponse, within ResponseBounds) error
	// Response returns one of the key's own responses. It returns ErrNoResponse if there
	// is none.
	Response(ctx context.Context, key KeyID, id string, now time.Time) (StoredResponse, error)
	// Conversation returns a response and those that it continues, oldest first. It
	// returns ErrNoResponse where one of them is missing, and ErrLongConversation where
	// together they have more than most bytes.
	Conversation(ctx context.Context, key KeyID, id string, most int64, now time.Time) ([]StoredResponse, error)
	// DeleteResponse deletes one of the key's own responses. It returns ErrNoResponse if
	// there is none.
	DeleteResponse(ctx context.Context, key KeyID, id string, now time.Time) error
	// ExpireResponses removes expired responses and returns how many there were.
	ExpireResponses(ctx context.Context, now time.Time) (int, error)
	// ResealResponses passes some of the responses after an id to reseal, in the order of
	// their ids, and stores the sealed texts of those that it returns, together with the
	// notes. It returns the id of the last one that was passed; "" if there are no more.
	ResealResponses(
		ctx context.Context, after string, reseal func([]StoredResponse) ([]StoredResponse, error), notes ...*Change,
	) (last string, err error)
}

// CheckConversation returns the reason why the responses found, oldest first, are not a
// whole conversation, or nil if they are.
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

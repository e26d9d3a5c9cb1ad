package kept

import (
	"context"
	"fmt"
	"strings"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/ephemeral"
	"tallyroute/providers/jsonraw"
	"tallyroute/providers/secret/envelope"
)

// Store keeps what is sealed; see billing.StoredResponses for the obligations.
type Store interface {
	StoreResponse(ctx context.Context, r billing.StoredResponse, within billing.ResponseBounds) error
	Response(ctx context.Context, key billing.KeyID, id string, now time.Time) (billing.StoredResponse, error)
	Conversation(ctx context.Context, key billing.KeyID, id string, most int64, now time.Time) ([]billing.StoredResponse, error)
	DeleteResponse(ctx context.Context, key billing.KeyID, id string, now time.Time) error
}

// Shelf keeps responses. It is safe for use by many goroutines.
type Shelf struct {
	Store  Store
	Ring   *envelope.Ring
	Life   time.Duration // of a response
	Bounds billing.ResponseBounds
	Clock  func() time.Time
}

// Owner is whose responses are meant: a key's, or those that were asked for with a
// temporary key, which sees no others.
type Owner struct {
	Key       billing.KeyID
	Temporary *ephemeral.Opened
}

func (o Owner) temporary() string {
	if o.Temporary == nil {
		return ""
	}
	return o.Temporary.ID
}

// owns reports that a response may be seen.
func (o Owner) owns(r billing.StoredResponse) bool {
	return o.Temporary == nil || r.Temporary == o.Temporary.ID
}

// Record is what is kept of a response: what was asked, and the response itself.
type Record struct {
	ID       string
	Previous string // id of the response that it goes on from; "" for none
	Input    []byte // a list of items
	Response []byte // an object
}

// about is what a sealed record is bound to.
func about(key billing.KeyID, id string) string { return "response " + id + " of " + string(key) }

// Keep keeps a record. billing.ErrResponsesFull where there is no room.
func (s *Shelf) Keep(ctx context.Context, o Owner, r Record) error {
	var text jsonraw.Object
	text.Raw("input", r.Input)
	text.Raw("response", r.Response)
	sealed, err := s.Ring.Seal(string(text.Bytes()), about(o.Key, r.ID))
	if err != nil {
		return err
	}
	now := s.Clock()
	return s.Store.StoreResponse(ctx, billing.StoredResponse{
		ID: r.ID, KeyID: o.Key, Temporary: o.temporary(), Previous: r.Previous, CreatedAt: now, ExpiresAt: now.Add(s.Life), Sealed: sealed,
	}, s.Bounds)
}

// possible reports an id that a response may have: "resp_" and a ULID. Databases do not
// take every text, and need not be asked for another.
func possible(id string) bool {
	const signs = 26
	text, ok := strings.CutPrefix(id, "resp_")
	other := func(r rune) bool { return (r < '0' || r > '9') && (r < 'A' || r > 'Z') }
	return ok && len(text) == signs && !strings.ContainsFunc(text, other)
}

// Get is the record of a response. billing.ErrNoResponse where its owner has none such.
func (s *Shelf) Get(ctx context.Context, o Owner, id string) (Record, error) {
	if !possible(id) {
		return Record{}, billing.ErrNoResponse
	}
	r, err := s.Store.Response(ctx, o.Key, id, s.Clock())
	if err != nil {
		return Record{}, err
	}
	return s.open(o, r)
}

// Conversation is a response and those that it goes on from, the first of them first.
// billing.ErrNoResponse where one of them is not there, billing.ErrLongConversation where
// they have more bytes than most.
func (s *Shelf) Conversation(ctx context.Context, o Owner, id string, most int64) ([]Record, error) {
	if !possible(id) {
		return nil, billing.ErrNoResponse
	}
	sealed, err := s.Store.Conversation(ctx, o.Key, id, most, s.Clock())
	if err != nil {
		return nil, err
	}
	list := make([]Record, len(sealed))
	for i, r := range sealed {
		if list[i], err = s.open(o, r); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// Delete removes a response. billing.ErrNoResponse where its owner has none such.
func (s *Shelf) Delete(ctx context.Context, o Owner, id string) error {
	if !possible(id) {
		return billing.ErrNoResponse
	}
	if o.Temporary != nil { // which may not see all that there is
		if _, err := s.Get(ctx, o, id); err != nil {
			return err
		}
	}
	return s.Store.DeleteResponse(ctx, o.Key, id, s.Clock())
}

func (s *Shelf) open(o Owner, r billing.StoredResponse) (Record, error) {
	if !o.owns(r) {
		return Record{}, billing.ErrNoResponse
	}
	text, err := s.Ring.Open(r.Sealed, about(r.KeyID, r.ID))
	if err != nil {
		return Record{}, fmt.Errorf("kept: %w", err)
	}
	body := []byte(text)
	return Record{
		ID: r.ID, Previous: r.Previous, Input: jsonraw.Lookup(body, "input"), Response: jsonraw.Lookup(body, "response"),
	}, nil
}

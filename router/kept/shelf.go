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

// Store keeps sealed records; see billing.StoredResponses for what it must guarantee.
type Store interface {
	StoreResponse(ctx context.Context, r billing.StoredResponse, within billing.ResponseBounds) error
	Response(ctx context.Context, key billing.KeyID, id string, now time.Time) (billing.StoredResponse, error)
	Conversation(ctx context.Context, key billing.KeyID, id string, most int64, now time.Time) ([]billing.StoredResponse, error)
	DeleteResponse(ctx context.Context, key billing.KeyID, id string, now time.Time) error
}

// Shelf stores responses. It is safe for concurrent use.
type Shelf struct {
	Store  Store
	Ring   *envelope.Ring
	Life   time.Duration // of a response
	Bounds billing.ResponseBounds
	Clock  func() time.Time
}

// Owner is who owns responses: a key, or a temporary key, which sees only those requested with
// it.
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

// owns reports whether the owner may see a response.
func (o Owner) owns(r billing.StoredResponse) bool {
	return o.Temporary == nil || r.Temporary == o.Temporary.ID
}

// Record is what is stored for a response: what was asked, and the response itself.
type Record struct {
	ID       string
	Previous string // id of the response that it continues from; "" for none
	Input    []byte // a list of items
	Response []byte // an object
}

// Keep stores a record. It returns billing.ErrResponsesFull if there is no room.
func (s *Shelf) Keep(ctx context.Context, o Owner, r Record) error {
	var text jsonraw.Object
	text.Raw("input", r.Input)
	text.Raw("response", r.Response)
	now := s.Clock()
	stored := billing.StoredResponse{
		ID: r.ID, KeyID: o.Key, Temporary: o.temporary(), Previous: r.Previous, CreatedAt: now, ExpiresAt: now.Add(s.Life),
	}
	var err error
	if stored.Sealed, err = s.Ring.Seal(string(text.Bytes()), stored.About()); err != nil {
		return err
	}
	return s.Store.StoreResponse(ctx, stored, s.Bounds)
}

// possible reports whether id could be the id of a response: "resp_" and a ULID. Databases do
// not accept every text, and need not be asked about any other.
func possible(id string) bool {
	const signs = 26
	text, ok := strings.CutPrefix(id, "resp_")
	other := func(r rune) bool { return (r < '0' || r > '9') && (r < 'A' || r > 'Z') }
	return ok && len(text) == signs && !strings.ContainsFunc(text, other)
}

// Get returns the record of a response, or billing.ErrNoResponse if its owner has no such
// response.
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

// Conversation returns a response and those that it continues from, earliest first. It returns
// billing.ErrNoResponse if one of them is missing, and billing.ErrLongConversation if together
// they exceed most bytes.
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

// Delete removes a response. It returns billing.ErrNoResponse if its owner has no such
// response.
func (s *Shelf) Delete(ctx context.Context, o Owner, id string) error {
	if !possible(id) {
		return billing.ErrNoResponse
	}
	if o.Temporary != nil { // it may not see all of the key's responses
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
	text, err := s.Ring.Open(r.Sealed, r.About())
	if err != nil {
		return Record{}, fmt.Errorf("kept: %w", err)
	}
	body := []byte(text)
	return Record{
		ID: r.ID, Previous: r.Previous, Input: jsonraw.Lookup(body, "input"), Response: jsonraw.Lookup(body, "response"),
	}, nil
}

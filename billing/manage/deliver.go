package manage

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"tallyroute/billing"
)

// Sink is where secrets are written. Both operations are idempotent.
type Sink interface {
	// Write writes a secret to a place, replacing what is there.
	Write(ctx context.Context, place, secret string, about map[string]string) error
	Delete(ctx context.Context, place string) error
}

// DeliverRequest says where a key's secret is to be written whenever it is renewed.
type DeliverRequest struct {
	Sink    string // its name
	Place   string // within it
	Overlap time.Duration
}

// DeliverKey has the secrets of a key written to a sink: a new one soon, and again whenever
// one is due. Nobody sees them.
func (a Actions) DeliverKey(ctx context.Context, id billing.KeyID, r DeliverRequest, by By) (billing.Key, error) {
	if err := errors.Join(noSecret(string(id)), a.checkDelivery(r), by.check()); err != nil {
		return billing.Key{}, err
	}
	k, err := a.Key(ctx, id)
	if err == nil {
		err = errors.Join(notRevoked(&k), a.delivered(ctx, &k, r.Sink))
	}
	if err != nil {
		return billing.Key{}, err
	}
	return k, a.setDelivery(ctx, id, r, by)
}

func (a Actions) checkDelivery(r DeliverRequest) error {
	faults := []error{RotateRequest{Overlap: r.Overlap}.check()}
	switch {
	case len(a.SinkNames) == 0:
		faults = append(faults, invalid("sink", "the configuration has no sinks: add one to sinks"))
	case !slices.Contains(a.SinkNames, r.Sink):
		faults = append(faults, invalid("sink", "must be one of the sinks of the configuration: %s", strings.Join(a.SinkNames, ", ")))
	}
	if len(r.Place) > maxTag {
		faults = append(faults, invalid("place", "must have at most %d bytes", maxTag))
	}
	return errors.Join(faults...)
}

func (a Actions) setDelivery(ctx context.Context, id billing.KeyID, r DeliverRequest, by By) error {
	note := a.note(by, "key.deliver", string(id))
	note.Detail = map[string]string{"sink": r.Sink, "place": r.Place, "overlap": Span(r.Overlap)}
	return a.Store.SetDelivery(ctx, billing.Delivery{KeyID: id, Sink: r.Sink, Place: r.Place, Overlap: r.Overlap}, note)
}

// CreateKeyAt makes a key whose secrets nobody sees: a router makes them, and delivers each
// to the sink that the request names. Repeating the request under the same name returns the
// same key.
func (a Actions) CreateKeyAt(ctx context.Context, r KeyRequest, by By) (NewSecret, error) {
	if err := a.checkDelivery(r.To); err != nil {
		return NewSecret{}, err
	}
	made, err := a.madeBefore(ctx, r, by)
	if err == nil && !made.Existed {
		made.Key, err = a.newKey(ctx, r, by)
		if err != nil || r.DryRun {
			return made, err
		}
		made.Key, err = a.storeKey(ctx, made.Key, [32]byte{}, by)
		if r.Once.Name != "" && errors.Is(err, billing.ErrDuplicate) { // by the same request at another router
			made, err = a.madeBefore(ctx, r, by)
		}
	}
	if err != nil {
		return NewSecret{}, err
	}
	return made, a.setDelivery(ctx, made.Key.ID, r.To, by)
}

// UndeliverKey stops delivering the secrets of a key and deletes the delivered copy.
func (a Actions) UndeliverKey(ctx context.Context, id billing.KeyID, by By) error {
	if err := errors.Join(noSecret(string(id)), by.check()); err != nil {
		return err
	}
	k, err := a.Key(ctx, id)
	if err == nil && k.RevokedAt.IsZero() {
		err = a.delivered(ctx, &k, "")
	}
	if err != nil {
		return err
	}
	return a.Store.EndDelivery(ctx, id, a.note(by, "key.undeliver", string(id)))
}

// Deliveries lists where the secrets of a key, or of all keys, are written.
func (a Actions) Deliveries(ctx context.Context, id billing.KeyID) ([]billing.Delivery, error) {
	return a.Store.ListDeliveries(ctx, id)
}

// DeliveryView is a delivery in JSON.
type DeliveryView struct {
	KeyID       string  `json:"key_id"`
	Sink        string  `json:"sink"`
	Place       string  `json:"place"`
	Overlap     string  `json:"overlap"`
	Status      string  `json:"status" enum:"delivered,pending,failing,deleting"`
	DeliveredAt *string `json:"delivered_at"`
	Failures    int     `json:"failures"`
	Failure     *string `json:"failure"` // of the last attempt
	NextTryAt   *string `json:"next_try_at"`
}

// ViewDelivery converts a delivery to JSON form.
func ViewDelivery(d billing.Delivery) DeliveryView {
	status := "pending"
	switch {
	case d.Removing:
		status = "deleting"
	case d.Failures > 0:
		status = "failing"
	case !d.DeliveredAt.IsZero():
		status = "delivered"
	}
	return DeliveryView{
		KeyID: string(d.KeyID), Sink: d.Sink, Place: d.Place, Overlap: Span(d.Overlap), Status: status,
		DeliveredAt: Instant(d.DeliveredAt), Failures: d.Failures, Failure: TextOrNull(d.Failure), NextTryAt: Instant(d.DueAt),
	}
}

// Limits for deliveries.
const (
	deliveryClaim = time.Minute // after which another router takes over
	firstAgain    = 10 * time.Second
	lastAgain     = time.Hour
)

// DeliverDue does one delivery that is due; found is false if none is. The new secret
// becomes valid before it is written, and the old one ends only afterwards: if the sink
// fails, or the process crashes between any two steps, the old one stays as it was.
func (a Actions) DeliverDue(ctx context.Context, sinks map[string]Sink) (d billing.Delivery, found bool, err error) {
	var random [32]byte
	if _, err := rand.Read(random[:]); err != nil {
		return d, false, err
	}
	now := a.now()
	d, found, err = a.Store.ClaimDelivery(ctx, now, now.Add(deliveryClaim), hex.EncodeToString(random[:]))
	if err != nil || !found {
		return d, found, err
	}
	if err = a.deliver(ctx, sinks[d.Sink], d); err == nil {
		return d, true, nil
	}
	again := min(firstAgain<<min(d.Failures, 16), lastAgain)
	return d, true, errors.Join(err, a.Store.PostponeDelivery(ctx, d.KeyID, shortened(err.Error()), a.now().Add(again)))
}

func shortened(text string) string { return text[:min(len(text), maxReason)] }

// deliverer is the actor of actions that nobody requested.
var deliverer = By{Actor: "rotation", Reason: "its secret was due"}

func (a Actions) deliver(ctx context.Context, to Sink, d billing.Delivery) error {
	if to == nil {
		return fmt.Errorf("the configuration has no sink %q", d.Sink)
	}
	if d.Removing {
		if err := to.Delete(ctx, d.Place); err != nil {
			return err
		}
		return a.Store.ForgetDelivery(ctx, d.KeyID, a.note(deliverer, "key.delete_copy", string(d.KeyID)))
	}
	k, err := a.Key(ctx, d.KeyID)
	if err != nil {
		return err
	}
	source, err := a.derived(d.KeyID, d.Seed)
	if err != nil {
		return err
	}
	secret, err := billing.NewSecret(k.Environment, source)
	if err != nil {
		return err
	}
	r := a.rotation(secret)
	r.KeyID, r.Once, r.Staged = d.KeyID, digestOf(d.Seed), true
	staged, err := a.Store.RotateSecret(ctx, r)
	if err != nil {
		return err
	}
	about := map[string]string{"key_id": string(d.KeyID), "key_name": k.Name, "version": strconv.Itoa(staged.Number)}
	if err := to.Write(ctx, d.Place, secret.Reveal(), about); err != nil {
		return err
	}
	r.Now = a.now().Truncate(time.Microsecond)
	r.Until = r.Now.Add(d.Overlap)
	note := a.note(deliverer, "key.rotate", string(d.KeyID))
	note.Detail = map[string]string{"sink": d.Sink, "place": d.Place, "overlap": Span(d.Overlap)}
	return a.Store.FinishDelivery(ctx, staged.Number, r, note)
}

package lease

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"tallyroute/billing"
)

// A record of the journal is its kind, the id of the request, and rows. All numbers are
// varints, and texts are prefixed with their length. The fields of a row follow each
// other in the order of codec.spend; changing that order or adding a field requires a
// new recordVersion, and the old versions stay readable. Version 2 added codec.facts,
// version 3 codec.sent, version 4 the limits of parts.
const recordVersion = 4

// The kinds of records.
const (
	recordBegin   byte = 1 // an attempt is about to be made; the row that is booked if nothing more is heard of it
	recordRetry   byte = 2 // another attempt is about to be made; replaces the earlier rows
	recordSettle  byte = 3 // the request has ended; its rows
	recordRelease byte = 4 // nothing was sent
	recordDone    byte = 5 // everything before is in the database
)

// record is a decoded record of the journal.
type record struct {
	kind byte
	id   string
	rows []billing.Spend
}

var errRecord = errors.New("billing/lease: not a record of this journal")

// appendRecord adds a record to b.
func appendRecord(b []byte, kind byte, id string, rows []billing.Spend) []byte {
	b = append(b, recordVersion, kind)
	b = appendText(b, id)
	b = binary.AppendUvarint(b, uint64(len(rows)))
	c := codec{b: b, version: recordVersion, writing: true}
	for i := range rows {
		c.spend(&rows[i])
	}
	return c.b
}

// readRecord copies what it reads.
func readRecord(b []byte) (record, error) {
	if len(b) < 2 || b[0] < 1 || b[0] > recordVersion || b[1] < recordBegin || b[1] > recordDone {
		return record{}, fmt.Errorf("%w: it begins with %x", errRecord, b[:min(2, len(b))])
	}
	c := codec{b: b[2:], version: b[0]}
	r := record{kind: b[1]}
	c.text(&r.id)
	n := c.uint()
	for range n {
		if c.broken {
			break
		}
		var s billing.Spend
		c.spend(&s)
		r.rows = append(r.rows, s)
	}
	if c.broken || len(c.b) > 0 {
		return record{}, errRecord
	}
	return r, nil
}

// codec writes and reads fields in one order, so that both directions agree.
type codec struct {
	b       []byte
	version byte
	writing bool
	broken  bool // what was read is not a record
}

// spend covers every field of a row except what the database knows by itself: when
// the row was recorded, and what its price is called apart from the id.
func (c *codec) spend(s *billing.Spend) {
	c.text(&s.EventID)
	c.time(&s.OccurredAt)
	c.text(&s.ReportDay)
	c.text((*string)(&s.Kind))
	c.text(&s.RequestID)
	c.int(&s.Attempt)
	c.bool(&s.Final)
	c.owner(&s.Owner)
	c.text(&s.EndUser)
	c.tags(&s.Tags)
	c.text(&s.RequestedModel)
	c.text(&s.Provider)
	c.text(&s.Model)
	c.text(&s.ServiceTier)
	c.text((*string)(&s.RouteReason))
	c.text((*string)(&s.Status))
	c.text(&s.ErrorKind)
	c.bool(&s.Streamed)
	c.text((*string)(&s.UsageSource))
	c.tokens(&s.Tokens)
	c.text((*string)(&s.Pricing))
	c.price(&s.Price)
	c.cost(&s.Cost)
	c.money(&s.Baseline)
	c.int64(&s.OverrunTokens)
	c.money(&s.OverrunMoney)
	c.text(&s.ProviderRequestID)
	c.text(&s.AdjustsEvent)
	c.text(&s.AdjustsPeriod)
	c.text(&s.Reason)
	c.text(&s.Actor)
	if c.version >= 2 {
		c.facts(s)
	}
	if c.version >= 3 {
		c.sent(s)
	}
	if c.version >= 4 {
		c.texts(&s.Limits)
	}
}

// sent covers who answered, and what was sent that has no price.
func (c *codec) sent(s *billing.Spend) {
	c.text(&s.AnsweredModel)
	c.texts(&s.UnpricedMembers)
}

// facts covers what is known of an attempt besides usage and cost.
func (c *codec) facts(s *billing.Spend) {
	c.bool(&s.Disputed)
	maybe(c, &s.Reported, c.tokens)
	maybe(c, &s.ProviderCost, c.money)
	c.fees(&s.Fees)
	c.text(&s.Region)
	c.text(&s.Credential)
	c.text(&s.Endpoint)
	c.text(&s.Session)
	maybe(c, &s.BytesIn, c.int64)
	maybe(c, &s.BytesOut, c.int64)
	maybe(c, &s.FirstToken, c.duration)
	maybe(c, &s.Took, c.duration)
	c.bytes(&s.Fingerprint)
	c.bytes(&s.Prefixes)
}

// maybe writes or reads whether a field is set, and the field.
func maybe[T any](c *codec, member **T, value func(*T)) {
	there := *member != nil
	c.bool(&there)
	if !there || c.broken {
		return
	}
	if *member == nil {
		*member = new(T)
	}
	value(*member)
}

func (c *codec) duration(d *time.Duration) { c.int64((*int64)(d)) }

// list writes or reads the length of a list, and on reading allocates it.
func list[T any](c *codec, l *[]T) {
	if c.writing {
		c.b = binary.AppendUvarint(c.b, uint64(len(*l)))
	} else if n := c.uint(); n > uint64(len(c.b)) { // each element takes at least one byte
		c.broken = true
	} else if n > 0 {
		*l = make([]T, n)
	}
}

func (c *codec) texts(all *[]string) {
	list(c, all)
	for i := range *all {
		c.text(&(*all)[i])
	}
}

func (c *codec) fees(fees *[]billing.Fee) {
	list(c, fees)
	for i := range *fees {
		f := &(*fees)[i]
		c.text(&f.Meter)
		c.int64(&f.Units)
		c.money(&f.Cost)
	}
}

func (c *codec) owner(o *billing.Owner) {
	c.text((*string)(&o.KeyID))
	c.text(&o.ProjectID)
	c.text(&o.TeamID)
	c.text(&o.CostCenter)
	c.text(&o.Environment)
}

func (c *codec) tokens(t *billing.Tokens) {
	for _, n := range []*int64{
		&t.Input, &t.CacheRead, &t.CacheWrite, &t.Output, &t.Reasoning, &t.CacheWrite1h, &t.AudioInput, &t.AudioOutput,
	} {
		c.int64(n)
	}
}

func (c *codec) price(p *billing.Price) {
	c.text(&p.ID)
	for _, m := range []*billing.Money{&p.Input, &p.CacheRead, &p.CacheWrite, &p.Output, &p.Request} {
		c.money(m)
	}
}

func (c *codec) cost(t *billing.Cost) {
	for _, m := range []*billing.Money{&t.Input, &t.CacheRead, &t.CacheWrite, &t.Output, &t.Fee, &t.Total} {
		c.money(m)
	}
}

func (c *codec) tags(tags *map[string]string) {
	if c.writing {
		c.b = binary.AppendUvarint(c.b, uint64(len(*tags)))
		for k, v := range *tags {
			c.b = appendText(appendText(c.b, k), v)
		}
		return
	}
	n := c.uint()
	if n > 0 && !c.broken {
		*tags = make(map[string]string, min(n, 64))
	}
	for range n {
		var k, v string
		c.text(&k)
		c.text(&v)
		if c.broken {
			return
		}
		(*tags)[k] = v
	}
}

func (c *codec) text(s *string) {
	if c.writing {
		c.b = appendText(c.b, *s)
		return
	}
	n := c.uint()
	if n > uint64(len(c.b)) {
		c.broken = true
		return
	}
	*s, c.b = string(c.b[:n]), c.b[n:]
}

// bytes reads an empty value as nil.
func (c *codec) bytes(b *[]byte) {
	s := string(*b)
	c.text(&s)
	if !c.writing && s != "" {
		*b = []byte(s)
	}
}

func (c *codec) money(m *billing.Money) { c.int64((*int64)(m)) }

func (c *codec) int64(n *int64) {
	if c.writing {
		c.b = binary.AppendVarint(c.b, *n)
		return
	}
	v, size := binary.Varint(c.b)
	if size <= 0 {
		c.broken, c.b = true, nil
		return
	}
	*n, c.b = v, c.b[size:]
}

func (c *codec) int(n *int) {
	wide := int64(*n)
	c.int64(&wide)
	*n = int(wide)
}

func (c *codec) uint() uint64 {
	v, size := binary.Uvarint(c.b)
	if size <= 0 {
		c.broken, c.b = true, nil
		return 0
	}
	c.b = c.b[size:]
	return v
}

func (c *codec) bool(v *bool) {
	var n int64
	if *v {
		n = 1
	}
	c.int64(&n)
	*v = n != 0
}

// time has microsecond precision, like the databases.
func (c *codec) time(t *time.Time) {
	n := t.UnixMicro()
	c.int64(&n)
	if !c.writing {
		*t = time.UnixMicro(n).UTC()
	}
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// row returns a row as it will be stored, so that a replay stores the same: with its
// id, its day, and times that the database can represent.
func (l *Ledger) row(s billing.Spend) (billing.Spend, error) {
	s = s.Tidy()
	s.OccurredAt = s.OccurredAt.UTC().Truncate(time.Microsecond)
	if s.ReportDay == "" {
		s.ReportDay = l.day.of(s.OccurredAt.In(l.o.Zone))
	}
	if s.EventID == "" {
		id, err := uuid.NewV7()
		if err != nil {
			return s, fmt.Errorf("billing/lease: %w", err)
		}
		s.EventID = id.String()
	}
	return s, s.Check()
}

// lastDay caches how a day is written, since nearly all rows are of the same day.
type lastDay struct{ known atomic.Pointer[writtenDay] }

type writtenDay struct {
	year, day int
	text      string
}

func (d *lastDay) of(t time.Time) string {
	known := d.known.Load()
	if known == nil || known.year != t.Year() || known.day != t.YearDay() {
		known = &writtenDay{t.Year(), t.YearDay(), t.Format(time.DateOnly)}
		d.known.Store(known)
	}
	return known.text
}

// rows returns the attempts of one request as they will be stored.
func (l *Ledger) rows(attempts []billing.Spend) ([]billing.Spend, error) {
	if len(attempts) == 0 {
		return nil, errors.New("billing/lease: a settlement needs an attempt")
	}
	rows := make([]billing.Spend, len(attempts))
	for i, a := range attempts {
		if a.RequestID != attempts[0].RequestID || !a.OccurredAt.Equal(attempts[0].OccurredAt) || a.Owner != attempts[0].Owner {
			return nil, fmt.Errorf("billing/lease: attempts %d and %d are not of one request", attempts[0].Attempt, a.Attempt)
		}
		if slices.ContainsFunc(attempts[:i], func(b billing.Spend) bool { return b.Attempt == a.Attempt }) {
			return nil, fmt.Errorf("billing/lease: %w: attempt %d of request %s", billing.ErrDuplicate, a.Attempt, a.RequestID)
		}
		row, err := l.row(a)
		if err != nil {
			return nil, err
		}
		rows[i] = row
	}
	return rows, nil
}

// buffers are for encoding records.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 1024); return &b }}

// newEpoch returns a name for one start of the process.
func newEpoch() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return fmt.Sprintf("%d-%s", time.Now().Unix(), hex.EncodeToString(b[:]))
}

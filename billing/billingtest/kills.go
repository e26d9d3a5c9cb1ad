package billingtest

import (
	"context"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/billingtest/prove"
	"tallyroute/billing/manage"
)

// mortal is a key whose store dies while something is done to it.
type mortal struct {
	*testing.T
	billing.Store // one that lives
	pepper        billing.Pepper
	now           time.Time
	key           billing.Key
	secret        billing.Secret
	sink          plainSink
}

// act is one thing that is done to a key, and may be cut off.
type act struct {
	do func(manage.Actions) error
	// whole reports whether it was done. It fails the test if half of it was.
	whole func() bool
	// refusal is the error for doing again what was done; nil if that changes nothing.
	refusal error
}

// plainSink is a sink in memory.
type plainSink map[string]string

func (s plainSink) Write(_ context.Context, place, secret string, _ map[string]string) error {
	s[place] = secret
	return nil
}

func (s plainSink) Delete(_ context.Context, place string) error {
	delete(s, place)
	return nil
}

// LivesSurviveKills does what happens in the life of a key while its store dies at the first
// step, the second, and so on. After each death it is either done or was never begun, and doing
// it again completes it exactly once.
func LivesSurviveKills(t *testing.T, s billing.Store, kill Killing) {
	t.Helper()
	for name, begin := range map[string]func(*mortal) act{
		"HandOver": (*mortal).offered, "TakeHandover": (*mortal).taken, "TopUp": (*mortal).toppedUp, "Archive": (*mortal).archived,
		"ArchiveTeam": (*mortal).archivedTeam, "Delivery": (*mortal).delivered, "Undelivery": (*mortal).undelivered,
	} {
		t.Run(name, func(t *testing.T) { survives(t, s, kill, begin) })
	}
}

func survives(t *testing.T, s billing.Store, kill Killing, begin func(*mortal) act) {
	t.Helper()
	whole := 0
	for n := 0; n < mostSteps; n++ {
		m := newMortal(t, s)
		a := begin(m)
		var failed error
		died := kill(n, func(s billing.Store) { failed = a.do(m.actions(s)) })
		if !died && errors.Is(failed, context.DeadlineExceeded) { // a busy machine, and something urgent
			m.cleanUp()
			n--
			continue
		}
		done := a.whole()
		m.now = m.now.Add(2 * time.Minute) // so that another router takes over what the dead one had claimed
		want := error(nil)
		if done {
			whole++
			want = a.refusal
		}
		var err error
		prove.Eventually(t, "it is done again", func() bool { // what the dead one had locked is free in a moment
			err = a.do(m.actions(s))
			return !errors.Is(err, context.DeadlineExceeded) && (err != nil || a.whole())
		})
		if !errors.Is(err, want) || !a.whole() {
			t.Fatalf("again after a death at step %d: %v; want %v", n, err, want)
		}
		m.cleanUp()
		if !died {
			t.Logf("killed at %d steps; %d times it was done before it was asked for again", n, whole)
			if n == 0 || whole == 0 {
				t.Error("nothing was killed, or nothing ever done")
			}
			return
		}
	}
	t.Errorf("it has %d steps", mostSteps)
}

func newMortal(t *testing.T, s billing.Store) *mortal {
	t.Helper()
	m := &mortal{T: t, Store: s, now: time.Now().UTC().Truncate(time.Second), sink: plainSink{}}
	var err error
	m.pepper, err = billing.ParsePepper(strings.Repeat("p", 32))
	m.must(err)
	m.key, m.secret = m.another("k", "t "+billing.NewID(""))
	return m
}

// another returns another key of a team, with ten dollars to be spent once.
func (m *mortal) another(name, team string) (billing.Key, billing.Secret) {
	m.Helper()
	usd := 10 * billing.Money(billing.NanoPerUSD)
	k, secret, err := m.actions(m.Store).CreateKey(m.Context(), manage.KeyRequest{
		Name: name, Team: team, Project: name, Budgets: []billing.Budget{{Period: billing.PeriodOnce, Money: &usd}},
	}, byTest)
	m.must(err)
	return k, secret
}

var byTest = manage.By{Actor: "test"}

func (m *mortal) must(err error) {
	m.Helper()
	if err != nil {
		m.Fatal(err)
	}
}

func (m *mortal) actions(s billing.Store) manage.Actions {
	return manage.Actions{Store: s, Pepper: m.pepper, SinkNames: []string{"sink"}, Clock: func() time.Time { return m.now }}
}

// changes counts the records of an action on an object.
func (m *mortal) changes(action, object string) int {
	m.Helper()
	list, err := m.ListChanges(m.Context(), billing.ChangeFilter{Action: action, Object: object})
	m.must(err)
	return len(list)
}

func (m *mortal) opens(s billing.Secret) bool {
	m.Helper()
	k, err := m.KeyByHash(m.Context(), s.Hash(m.pepper))
	if err != nil && !errors.Is(err, billing.ErrUnknownKey) {
		m.Fatal(err)
	}
	return err == nil && k.InForce(m.now) == nil
}

// state is what the database has of a key.
type state struct {
	secrets, handovers int
	opens              bool // with its first secret
	delivered          bool
	removing           bool // the copy in the sink
}

func (m *mortal) state(k billing.Key, first billing.Secret) (s state) {
	m.Helper()
	secrets, err := m.ListSecrets(m.Context(), k.ID)
	m.must(err)
	handovers, err := m.ListHandovers(m.Context(), k.ID, m.now)
	m.must(err)
	deliveries, err := m.ListDeliveries(m.Context(), k.ID)
	m.must(err)
	for _, d := range deliveries {
		s.delivered, s.removing = !d.DeliveredAt.IsZero(), d.Removing
	}
	s.secrets, s.handovers, s.opens = len(secrets), len(handovers), m.opens(first)
	return s
}

func (m *mortal) offered() act {
	return act{
		do: func(a manage.Actions) error {
			_, err := a.HandOver(m.Context(), m.key.ID, time.Hour, time.Hour, byTest)
			return err
		},
		whole: func() bool {
			n := m.changes("key.hand_over", string(m.key.ID))
			if got, want := m.state(m.key, m.secret), (state{secrets: 1, handovers: min(n, 1), opens: true}); got != want {
				m.Fatalf("half a hand-over: %+v with %d records", got, n)
			}
			return n > 0
		},
	}
}

// taken: a hand-over whose answer is lost was opened all the same, and nobody can open it again.
func (m *mortal) taken() act {
	token, err := m.actions(m.Store).HandOver(m.Context(), m.key.ID, time.Hour, time.Hour, byTest)
	m.must(err)
	return act{
		do: func(a manage.Actions) error {
			_, err := a.TakeHandover(m.Context(), token.Token, "10.0.0.1")
			return err
		},
		whole: func() bool {
			n := m.changes("key.rotate", string(m.key.ID))
			if got, want := m.state(m.key, m.secret), (state{secrets: 1 + n, handovers: 1 - n, opens: true}); got != want || n > 1 {
				m.Fatalf("a hand-over was opened in half: %+v with %d records", got, n)
			}
			return n > 0
		},
		refusal: billing.ErrNoHandover,
	}
}

func (m *mortal) toppedUp() act {
	const more = 3 * billing.Money(billing.NanoPerUSD)
	return act{
		do: func(a manage.Actions) error {
			_, err := a.TopUp(m.Context(), m.key.ID, more, "order 1", byTest)
			return err
		},
		whole: func() bool {
			k, err := m.actions(m.Store).Key(m.Context(), m.key.ID)
			m.must(err)
			added := *k.Budgets[0].Money - *m.key.Budgets[0].Money
			n := m.changes("key.top_up", string(m.key.ID))
			if added != billing.Money(n)*more || n > 1 {
				m.Fatalf("half a top-up: $%s more with %d records", added.Short(), n)
			}
			return n > 0
		},
	}
}

// copied gives a key a hand-over that waits and a copy of its secret in the sink.
func (m *mortal) copied(k billing.Key) {
	m.Helper()
	a := m.actions(m.Store)
	_, err := a.DeliverKey(m.Context(), k.ID, manage.DeliverRequest{Sink: "sink", Place: string(k.ID), Overlap: time.Hour}, byTest)
	m.must(err)
	m.must(m.carry(a))
	_, err = a.HandOver(m.Context(), k.ID, time.Hour, time.Hour, byTest)
	m.must(err)
}

// carry does a delivery that is due.
func (m *mortal) carry(a manage.Actions) error {
	_, _, err := a.DeliverDue(m.Context(), map[string]manage.Sink{"sink": m.sink})
	return err
}

// ended reports whether keys are archived: all of them and all that they have, or none.
func (m *mortal) ended(action, object string, keys map[billing.KeyID]billing.Secret) bool {
	m.Helper()
	n := m.changes(action, object)
	want := state{secrets: 2, handovers: 1, opens: true, delivered: true}
	if n > 0 {
		want = state{delivered: true, removing: true}
	}
	for id, first := range keys {
		k, err := m.actions(m.Store).Key(m.Context(), id)
		m.must(err)
		if got := m.state(k, first); got != want || n > 1 || k.ArchivedAt.IsZero() != (n == 0) {
			m.Fatalf("half archived: %+v, archived at %s, with %d records", got, k.ArchivedAt, n)
		}
	}
	return n > 0
}

func (m *mortal) archived() act {
	m.copied(m.key)
	return act{
		do: func(a manage.Actions) error {
			_, err := a.ArchiveKey(m.Context(), m.key.ID, manage.Ending{}, byTest)
			return err
		},
		whole: func() bool {
			return m.ended("key.archive", string(m.key.ID), map[billing.KeyID]billing.Secret{m.key.ID: m.secret})
		},
	}
}

func (m *mortal) archivedTeam() act {
	other, secret := m.another("other", m.key.Team)
	m.copied(m.key)
	m.copied(other)
	return act{
		do: func(a manage.Actions) error {
			_, err := a.ArchiveTeam(m.Context(), m.key.TeamID, byTest)
			return err
		},
		whole: func() bool {
			return m.ended("team.archive", m.key.TeamID, map[billing.KeyID]billing.Secret{m.key.ID: m.secret, other.ID: secret})
		},
	}
}

// delivered: whatever the sink has is good, and the secret before it as long as the delivery has
// not ended.
func (m *mortal) delivered() act {
	to := manage.DeliverRequest{Sink: "sink", Place: "p", Overlap: time.Hour}
	_, err := m.actions(m.Store).DeliverKey(m.Context(), m.key.ID, to, byTest)
	m.must(err)
	return act{
		do: m.carry,
		whole: func() bool {
			n := m.changes("key.rotate", string(m.key.ID))
			got := m.state(m.key, m.secret)
			if got.secrets > 2 || got.delivered != (n == 1) || !got.opens || n == 1 && m.sink["p"] == "" {
				m.Fatalf("half a delivery: %+v with %d records; the sink has %d", got, n, len(m.sink))
			}
			for copied := range maps.Values(m.sink) {
				if s, err := billing.ParseSecret(copied); err != nil || !m.opens(s) {
					m.Fatalf("the sink has a secret that is not good: %v", err)
				}
			}
			return n > 0
		},
	}
}

func (m *mortal) undelivered() act {
	m.copied(m.key)
	return act{
		do: func(a manage.Actions) error {
			err := a.UndeliverKey(m.Context(), m.key.ID, byTest)
			if none := (*billing.NotFoundError)(nil); err != nil && !errors.As(err, &none) {
				return err
			}
			return m.carry(a)
		},
		whole: func() bool {
			list, err := m.ListDeliveries(m.Context(), m.key.ID)
			m.must(err)
			n := m.changes("key.delete_copy", string(m.key.ID))
			if len(list) != 1-n || n == 1 && len(m.sink) > 0 || len(m.sink) == 0 && n == 0 && !list[0].Removing {
				m.Fatalf("half a removal: %+v with %d records; the sink has %d", list, n, len(m.sink))
			}
			return n > 0
		},
	}
}

// cleanUp deletes the copies of archived keys, so that nothing is due any more.
func (m *mortal) cleanUp() {
	m.Helper()
	for {
		_, found, err := m.actions(m.Store).DeliverDue(m.Context(), map[string]manage.Sink{"sink": m.sink})
		if m.must(err); !found {
			break
		}
	}
	k, err := m.actions(m.Store).Key(m.Context(), m.key.ID)
	if m.must(err); !k.ArchivedAt.IsZero() && len(m.sink) > 0 {
		m.Fatalf("copies of archived keys: %d", len(m.sink))
	}
}
